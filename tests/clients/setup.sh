#!/bin/sh
# Makes what the drivers beside it need, in the folder given: two Python environments and the Node packages.
# `run.sh DIR` then runs them.
# Usage: setup.sh DIR
set -eu

target=${1:?usage: setup.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$target/node"
target=$(cd "$target" && pwd)

for name in python python-old; do
    [ -d "$target/$name" ] || python3 -m venv "$target/$name"
    "$target/$name/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements-$name.txt"
done

cp "$here/node/package.json" "$here/node/package-lock.json" "$target/node/"
npm ci --prefix "$target/node" --no-audit --no-fund --silent
