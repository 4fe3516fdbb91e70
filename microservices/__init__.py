"""The microservices; each is a package of its own and runs alone. They meet over HTTP only."""
