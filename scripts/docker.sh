#!/bin/sh
# `docker.sh up` starts every service in containers and waits until all are ready; `docker.sh down` stops them.
#
# Before anything is downloaded or built it says in a sentence what is missing: Docker, its Compose plugin, its daemon,
# or a free port. The profiles are those of COMPOSE_PROFILES, else all services; docs/containers.md has the variables.
set -eu

KIND=${1:?usage: docker.sh up|down}
WAIT_SECONDS=600
MIN_COMPOSE=2.24.6

cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# True if version $1 is at least $2; both are numbers with two dots.
is_at_least() {
    printf '%s\n%s\n' "$2" "$1" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1 | grep -qx "$2"
}

need_docker() {
    command -v docker >/dev/null 2>&1 ||
        fail "Docker is not installed: https://docs.docker.com/get-docker/ says how. \`make up\` runs the services without it."
    version=$(docker compose version --short 2>/dev/null | sed 's/^v//; s/[^0-9.].*$//') || version=
    [ -n "$version" ] || fail "Docker is here, but its Compose plugin is not: https://docs.docker.com/compose/install/ says how."
    is_at_least "$version" "$MIN_COMPOSE" || fail "Docker Compose $MIN_COMPOSE or later is needed; this is $version."
    problem=$(docker info 2>&1 >/dev/null) || fail "$(why_no_daemon "$problem")"
}

why_no_daemon() {
    case "$1" in
    *"permission denied"*)
        echo "This user may not talk to Docker's daemon: sudo usermod -aG docker \"\$USER\", then log in again." ;;
    *)
        printf '%s\n' "Docker's daemon does not run: start Docker Desktop, or sudo systemctl start docker." \
            "\`make up\` runs the services without it. (docker info: $(printf '%s' "$1" | tail -n 1))" ;;
    esac
}

# Prints the ports of this machine that the services of the chosen profiles are published on.
published_ports() {
    docker compose config | sed -n 's/^ *published: *"\{0,1\}\([0-9][0-9]*\)"\{0,1\} *$/\1/p' | sort -un
}

# Somebody listens if connecting does not fail with 7; curl is there on every system that has make, or nearly.
is_taken() {
    code=0
    curl --silent --output /dev/null --noproxy '*' --max-time 1 "http://127.0.0.1:$1/health" || code=$?
    [ "$code" -ne 7 ] && [ "$code" -ne 127 ]
}

need_ports() {
    ports=$(published_ports) || exit 1
    ours=$(docker compose ps --format '{{.Ports}}' 2>/dev/null) || ours=
    taken=
    for port in $ports; do
        case "$ours" in *":$port->"*) continue ;; esac
        if is_taken "$port"; then taken="$taken${taken:+, }$port"; fi
    done
    [ -z "$taken" ] || fail "Another program listens on port $taken. Does \`make up\` run here? Then \`make down\` stops it. Or" \
        "set another port: MEGA_SERVICE_PORT, LLM_SERVICE_PORT, GRADER_SERVICE_PORT, ASSISTANTS_PORT, or LLM_ENDPOINT_PORT" \
        "(Ollama's)."
}

up() {
    need_docker
    need_ports
    echo "Building the image and starting; the first time a model of a gigabyte or more is downloaded ..."
    if docker compose up --build --detach --wait --wait-timeout "$WAIT_SECONDS"; then
        docker compose ps
        echo "Then: docker compose logs -f, make down-docker."
        return
    fi
    docker compose ps --all >&2
    docker compose logs --no-log-prefix --tail 5 model >&2 2>/dev/null || true
    fail "Not everything is up. \`docker compose logs SERVICE\` says why; \`make down-docker\` stops the rest."
}

if [ -z "${COMPOSE_PROFILES:-}" ] && ! grep -qs '^COMPOSE_PROFILES=.' .env; then export COMPOSE_PROFILES=all; fi
case "$KIND" in
up) up ;;
down)
    need_docker
    docker compose --profile '*' down --remove-orphans
    echo "Models, records and databases are kept in volumes; docker compose --profile '*' down --volumes removes them, too." ;;
*) fail "usage: docker.sh up|down" ;;
esac
