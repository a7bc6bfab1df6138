# Sets the stage for a story: a real master on a folder of its own and a free port, both gone when the story ends.
# Sourced by the stories, not run by itself. What a story needs: `license-master` on the PATH, and the Python it runs on.

set -euo pipefail

STORIES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
COMMAND=$(command -v license-master) || { echo "license-master is not on the PATH: activate its environment" >&2; exit 2; }
PYTHON=$(dirname "$COMMAND")/python
[ -x "$PYTHON" ] || PYTHON=python3
STAGE=$(mktemp -d)
MASTER_PID=
STANDBY_PBX_PID=
export COLUMNS=${COLUMNS:-160}
cd "$STAGE"

# A story acts under no settings but its own.
for variable in $(env | sed -n 's/^\(LICENSE_MASTER_[A-Z_]*\)=.*/\1/p'); do unset "$variable"; done

leave_stage() {
    local code=$?
    [ -z "$STANDBY_PBX_PID" ] || { kill "$STANDBY_PBX_PID" 2>/dev/null && wait "$STANDBY_PBX_PID" 2>/dev/null || true; }
    [ -z "$MASTER_PID" ] || { kill "$MASTER_PID" 2>/dev/null && wait "$MASTER_PID" 2>/dev/null || true; }
    cd / && rm -rf "$STAGE"
    exit "$code"
}
trap leave_stage EXIT
trap 'exit 130' INT TERM

# start_master [NAME=VALUE ...]: a master over a new database; NAME=VALUE are settings.
start_master() {
    export LICENSE_MASTER_DATABASE_URL=sqlite:///$STAGE/license-master.db
    license-master db upgrade --create >master.log 2>&1 || { cat master.log >&2; exit 1; }
    make_certificates >master.log 2>&1 || { cat master.log >&2; exit 1; }
    serve 127.0.0.1:0 "$@"
}

# Everybody shows a certificate: the master, and whoever types the commands; `as` and the PBXs get theirs when needed.
make_certificates() {
    license-master pki init && license-master pki issue server 127.0.0.1 localhost --out tls
    SERVER_TLS=(
        LICENSE_MASTER_TLS_CA_FILE="$STAGE/tls/ca.crt" LICENSE_MASTER_TLS_CERTIFICATE_FILE="$STAGE/tls/server.crt"
        LICENSE_MASTER_TLS_KEY_FILE="$STAGE/tls/server.key" LICENSE_MASTER_TLS_REVOCATIONS_FILE="$STAGE/pki/revoked.crl"
    )
    local me
    me=$(id -un 2>/dev/null || echo me)
    license-master pki issue operator "$me" --out tls
    export LICENSE_MASTER_TLS_CA_FILE=$STAGE/tls/ca.crt
    export LICENSE_MASTER_TLS_CERTIFICATE_FILE=$STAGE/tls/$me.crt LICENSE_MASTER_TLS_KEY_FILE=$STAGE/tls/$me.key
}

# kill_master: it dies at once, as by a power failure.
kill_master() {
    kill -KILL "$MASTER_PID" && wait "$MASTER_PID" 2>/dev/null || true
    MASTER_PID=
}

# restart_master: over the same database, at the same address.
restart_master() { serve "$LICENSE_MASTER_SERVER"; }

serve() {
    local address=$1 port=
    shift
    : >master.log
    env "${SERVER_TLS[@]}" "$@" license-master serve --listen "$address" --metrics-listen "" >>master.log 2>&1 &
    MASTER_PID=$!
    for _ in $(seq 300); do
        port=$(sed -n 's/.*"port": \([0-9]*\).*"event": "serving".*/\1/p; s/.*"event": "serving".*"port": \([0-9]*\).*/\1/p' master.log | head -1)
        [ -z "$port" ] || break
        kill -0 "$MASTER_PID" 2>/dev/null || { cat master.log >&2; exit 1; }
        sleep 0.1
    done
    [ -n "$port" ] || { cat master.log >&2; exit 1; }
    export LICENSE_MASTER_SERVER=127.0.0.1:$port
}

# say TEXT: what comes next.
say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }

# run COMMAND...: does it before your eyes; its output can be checked with `expect`. It must succeed.
run() {
    printf '$ %s\n' "$(shown "$@")"
    if ! "$@" >output 2>&1 </dev/null; then cat output; fail "this should have succeeded"; fi
    cat output
}

# refused COMMAND...: the same, but it must be refused (exit code 1).
refused() {
    local code=0
    printf '$ %s\n' "$(shown "$@")"
    "$@" >output 2>&1 </dev/null || code=$?
    cat output
    [ "$code" = 1 ] || fail "this should have been refused, but ended with $code"
}

# expect TEXT...: each stands in what the last command said.
expect() {
    local text
    for text in "$@"; do grep -qF -- "$text" output || fail "the last command should have said: $text"; done
}

# expect_not TEXT...: none stands there.
expect_not() {
    local text
    for text in "$@"; do ! grep -qF -- "$text" output || fail "the last command should not have said: $text"; done
}

# phones PBX COUNT [SOFTWARE] [--type TYPE]: so many phones are registered at a PBX from now on; tells how many got a license.
phones() {
    pbx_certificate "$1"
    "$PYTHON" "$STORIES/phones.py" --server "$LICENSE_MASTER_SERVER" --folder "$STAGE/pbxs" --tls "$STAGE/tls" "$@"
}

pbx_certificate() { [ -f "tls/${1##*/}.crt" ] || license-master pki issue pbx "$1" --out tls 2>>master.log; }

# start_standby PBX: a standby PBX that runs until the story ends; `standby ORDER` tells it what to do.
start_standby() {
    mkfifo orders answers
    pbx_certificate "$1"
    "$PYTHON" "$STORIES/standby_pbx.py" --server "$LICENSE_MASTER_SERVER" --folder "$STAGE/pbxs" --tls "$STAGE/tls" "$1" \
        <orders >answers 2>standby.log &
    STANDBY_PBX_PID=$!
    exec 8>orders 9<answers
    read -r -t 60 -u 9 _ || { cat standby.log >&2; exit 1; }
}

# standby ORDER: one order for the standby PBX, and its answer.
standby() {
    local answer
    echo "$*" >&8
    read -r -t 90 -u 9 answer && echo "$answer"
}

# as PERSON COMMAND...: the command as another operator types it.
as() {
    local person=$1
    shift
    [ -f "tls/$person.crt" ] || license-master pki issue operator "$person" --out tls 2>>master.log
    LICENSE_MASTER_TLS_CERTIFICATE_FILE=tls/$person.crt LICENSE_MASTER_TLS_KEY_FILE=tls/$person.key "$@"
}

shown() {
    local word
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./:%=-]*) printf "'%s' " "$word" ;; *) printf '%s ' "$word" ;; esac
    done
}

fail() {
    printf '\nstory broken: %s\n' "$*" >&2
    exit 1
}

end_of_story() { printf '\n\033[1mThe end: %s\033[0m\n' "$*"; }
