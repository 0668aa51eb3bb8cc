#!/bin/sh
# What `make` runs first: everything into .venv, with the build of PyTorch that suits this machine.
# It reads TORCH (cpu or cuda, else the machine decides), PYTHON, BIN, which is .venv/bin, and READY,
# the file that it writes at its end: the build that .venv has. Without make: sh set_up.sh
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3} BIN=${BIN:-.venv/bin} READY=${READY:-.venv/.ready}
if [ ! -w . ]; then
    echo "$PWD cannot be written, and .venv is made there: copy the project to a folder of yours" >&2
    exit 2
fi
small="about 0.6 GB to download, 2 GB on disk, some 3 minutes at 50 Mbit/s"
large="about 3.4 GB to download, 7 GB on disk, some 10 minutes at 50 Mbit/s"
quiet=--quiet
[ ! -t 2 ] || quiet= # where a person watches, progress is shown

announce() {
    case $build in
    cpu) what="PyTorch's CPU-only build: $small" ;;
    cuda) what="PyTorch's CUDA build: $large" ;;
    macos) what="PyTorch's build for macOS: $small" ;;
    esac
    printf '%s\n  %s; less where some of it is there already.\n' "$1" "$what"
}

# what requirements.txt says of the packages whose names match $1, or, with $2, of all others
locked() {
    awk -v names="^($1)==" -v others="${2:-0}" \
        '/^[a-z]/ { matches = $1 ~ names } matches != others' requirements.txt
}

# two tries with short limits; the download itself has uv's own
index_answers() {
    UV_HTTP_RETRIES=1 UV_HTTP_CONNECT_TIMEOUT=5 UV_HTTP_TIMEOUT=10 VIRTUAL_ENV=.venv \
        "$BIN/uv" pip install -qq --dry-run --no-deps $backend $pytorch
}

install() {
    VIRTUAL_ENV=.venv "$BIN/uv" pip install $quiet --compile-bytecode "$@"
}

# Every package has to have a hash that requirements.txt knows. PyTorch's own index has builds of
# torch and torchvision whose hashes are not there: these two alone come without. What builds a
# package that comes as source is checked as well.
hashed="--require-hashes --no-deps --build-constraints requirements.txt"
install_all() {
    if [ "$build" = cpu ]; then
        locked 'torch|torchvision|triton|nvidia-.*|cuda-.*' 1 > "$BIN/locked.txt"
        install $hashed -r "$BIN/locked.txt" &&
            install --no-deps $backend $pytorch
    else
        install $hashed -r requirements.txt
    fi
}

kept=$(cat "$READY" 2> /dev/null || true)
case "$kept,${TORCH:-}" in
,cpu | ,cuda) build=$TORCH why="TORCH=$TORCH" ;;
,)
    build=cpu why="no NVIDIA GPU was found (TORCH=cuda takes the build for one)"
    if nvidia-smi -L > /dev/null 2>&1; then
        build=cuda why="an NVIDIA GPU was found (TORCH=cpu takes the small build)"
    fi
    ;;
,*)
    echo "TORCH: expected cpu or cuda, found $TORCH" >&2
    exit 2
    ;;
*) build=$kept why="as it was set up before (make clean lets you choose anew)" ;;
esac
[ "$(uname)" != Darwin ] || build=macos why="macOS has one build"
backend=
[ "$build" != cpu ] || backend="--torch-backend cpu"
pytorch=$(locked 'torch|torchvision' | sed -n 's/^\([a-z]*==[^ ;]*\).*/\1/p')
announce "Setting up .venv: $why."

if [ ! -e "$BIN/uv" ]; then
    $PYTHON -m venv .venv
    locked uv > "$BIN/uv.txt"
    "$BIN/python" -m pip install --quiet --require-hashes -r "$BIN/uv.txt"
fi
if [ "$build" = cpu ] && ! index_answers; then
    build=cuda backend=
    announce "PyTorch's own index cannot be used from here, so its usual build comes from PyPI."
fi
# uv is twice as fast; pip knows mirrors that uv does not, and always takes PyPI's build
if ! install_all; then
    [ "$build" != cpu ] || build=cuda
    announce "uv could not install it: pip does, from PyPI."
    "$BIN/python" -m pip install $quiet --require-hashes --no-deps -r requirements.txt
fi
"$BIN/python" -m pip install --quiet --no-deps --no-build-isolation -e .
"$BIN/python" -c "import matplotlib.font_manager" # its list of fonts is made once
echo "$build" > "$READY"
