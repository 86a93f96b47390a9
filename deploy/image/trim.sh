#!/bin/sh
# Delete what the worker does not load from the site-packages given: about 160 MB.
# `tests/image/test_image.py` runs what is left.
set -eu
cd "$1"

# Arrow: remote file systems and RPC. Its shared libraries come three times, under each of their names; the one with
# the major version is the one that is loaded.
rm -f pyarrow/libarrow_flight.* pyarrow/libarrow_python_flight.* pyarrow/_flight.* pyarrow/libarrow_s3.* pyarrow/_s3fs.*
rm -rf pyarrow/include pyarrow/includes pyarrow/src
for library in pyarrow/libarrow_python*.so; do
  rm -f "$library" "$library".*.*.*
done

# Pygments: tracebacks on a terminal need the lexer of Python alone.
find pygments/lexers -type f ! -name '__init__*' ! -name '_mapping*' ! -name 'python*' -delete

# Tests, sources and headers.
rm -rf numpy/f2py
find . -type d -name tests -prune -exec rm -r {} +
find . -type f \( -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyx' -o -name '*.pxd' \
  -o -name '*.pxi' -o -name '*.pyi' -o -name '*.a' \) -delete

# Symbols that only a debugger and a linker read.
strip --strip-unneeded uvloop/*.so pyarrow/*.so pyarrow/*.so.* aiokafka/record/_crecords/*.so
