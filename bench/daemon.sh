#!/bin/sh
# The node daemon on one machine: its hub endpoint beside nginx, a second fetch of 10 GB, and another release of the hub's client.
#
#     bench/daemon.sh [PYTHON]     PYTHON: of an environment with the huggingface_hub to try, e.g. 1.x; left out without it
#
# Needs 35 GB of disk, curl, GNU time and the bench group; run it from the root of the repository on a quiet machine.
set -e
bin=$PWD/.venv/bin
work=$(mktemp -d)
trap 'kill $daemon $hub 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$work/big" "$work/one" "$work/home" "$work/run"
chmod 700 "$work/run"
truncate -s 10000000000 "$work/big/model.bin"
head -c 1073741824 /dev/urandom > "$work/one/file.bin"
nginx=$("$bin/python" -c 'from bench.origins import _nginx_binary; print(_nginx_binary())')
"$bin/python" -m dfly_hf.testing --repo "o/big=$work/big" --repo "o/one=$work/one" --port 8321 > "$work/hub.log" 2>&1 &
hub=$!
until curl -s -o /dev/null http://127.0.0.1:8321/; do sleep 0.5; done
export HF_ENDPOINT=http://127.0.0.1:8321 HOME="$work/home" DFLY_SOCKET="$work/run/dfly.sock"
"$bin/dfdaemon" --data-dir "$work/data" --listen 127.0.0.1:8322 > "$work/daemon.log" 2>&1 &
daemon=$!
until curl -s -o /dev/null http://127.0.0.1:8322/readyz; do sleep 0.2; done
timed() { what=$1; shift; /usr/bin/time -f "$what: %e s" "$@"; }

file=http://127.0.0.1:8322/hf/o/one/resolve/main/file.bin
timed "endpoint, cold 1 GiB" curl -sL -o /dev/null "$file"
cat > "$work/nginx.conf" <<EOF
daemon on; worker_processes 1; pid $work/nginx.pid; error_log $work/error.log; events { worker_connections 64; }
http { access_log off; sendfile on; client_body_temp_path $work/a; proxy_temp_path $work/b; fastcgi_temp_path $work/c;
  uwsgi_temp_path $work/d; scgi_temp_path $work/e; server { listen 127.0.0.1:8323; root $work/one; } }
EOF
chmod 755 "$work" "$work/one"
"$nginx" -p "$work" -c "$work/nginx.conf" -e "$work/error.log"
cat "$work/one/file.bin" > /dev/null
for _ in 1 2 3 4 5; do
    timed "nginx, warm" curl -s -o /dev/null http://127.0.0.1:8323/file.bin
    timed "endpoint, warm" curl -sL -o /dev/null "$file"
done
kill "$(cat "$work/nginx.pid")"

[ -z "$1" ] || HF_ENDPOINT=http://127.0.0.1:8322/hf HF_HOME="$work/hf" "$1" - "$work/one/file.bin" <<'EOF'
import filecmp, sys
import huggingface_hub as hub
there = hub.snapshot_download("o/one") + "/file.bin"
print("huggingface_hub", hub.__version__, "identical:", filecmp.cmp(there, sys.argv[1], shallow=False))
print("from its cache:", hub.hf_hub_download("o/one", "file.bin", local_files_only=True) == there)
print([entry.path for entry in hub.list_repo_tree("o/one")])
print("a range:", hub.HfFileSystem().read_bytes("o/one/file.bin", start=10, end=20) == open(sys.argv[1], "rb").read(20)[10:])
for ask in (lambda: hub.hf_hub_download("o/one", "nothing.bin"), lambda: hub.model_info("o/nobody")):
    try:
        ask()
    except Exception as error:
        print(type(error).__name__)
EOF

timed "10 GB from the hub" "$bin/dfget" hf://o/big -r --link hard -q -O "$work/first/"
timed "10 GB again, --link hard" "$bin/dfget" hf://o/big -r --link hard -q -O "$work/second/"
timed "start-up alone" "$bin/dfget" --version
sync
timed "10 GB again, a copy" "$bin/dfget" hf://o/big -r -q -O "$work/third/"
rm -rf "$work/third"
sync
timed "cp of the same" cp --sparse=never --reflink=never "$work/first/model.bin" "$work/copy"
