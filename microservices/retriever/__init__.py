"""The retriever: documents in, the passages that answer a question out; and a reranker of them.

`python -m microservices.retriever` serves OPEA's `/v1/retrieval`, `/v1/reranking` and `/v1/dataprep/*` on port 7000.
The road of a document: routes.py (HTTP) or folder.py -> library.py (chunks) -> store.py (SQLite: full text, vectors)
-> indexing.py (asks the embeddings, when they are first needed). The road of a question: routes.py -> searching.py
(two rankings, fused) -> reranking.py.
"""
