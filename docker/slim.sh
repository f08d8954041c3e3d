#!/bin/sh
# Removes files that the server never uses from this root. Run it in a stage that is then copied into an empty
# image; otherwise a layer would only hide the removed files.
set -eu

# Debian packages, removed by dpkg so that scanners find a correct list of packages.
for package in python3-venv python3.11-venv python3-pip-whl python3-setuptools-whl python3-distutils \
    python3-lib2to3 apt debian-archive-keyring gpgv e2fsprogs logsave mount adduser passwd login \
    sysvinit-utils tzdata perl-base libapt-pkg6.0 libgnutls30 libp11-kit0; do
    if dpkg-query --show "$package" >/dev/null 2>&1; then
        dpkg --purge --force-depends --force-remove-essential --force-remove-protected "$package" >/dev/null 2>&1
    fi
done
rm -rf /etc/apt /usr/share/perl5 /var/cache/* /var/lib/apt /var/log/* /usr/share/man /usr/share/info /usr/share/locale /usr/share/zoneinfo \
    /usr/share/bash-completion /usr/lib/x86_64-linux-gnu/gconv /usr/lib/aarch64-linux-gnu/gconv /tmp/* /var/tmp/*
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -type d -empty -delete

# The interpreter: Debian's, or the one below /usr/local in Python's images.
for library in /usr/lib/python3.* /usr/local/lib/python3.*; do
    [ -d "$library" ] || continue
    (cd "$library" && rm -rf ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo turtle.py distutils \
        config-3.* site-packages/pip site-packages/pip-* site-packages/setuptools* site-packages/wheel*)
done
rm -f /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/2to3*

# The libraries' tests, sources, stubs and development tools.
cd /opt/convserve/lib/python3*/site-packages
rm -rf numpy/f2py numpy/distutils numpy/_pyinstaller numpy/_core/include numpy/_core/lib numpy/random/lib \
    onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/datasets \
    pydantic/v1 convserve/export
# A second copy of ONNX Runtime: Python loads the extension module, only C programs load the library.
rm -f onnxruntime/capi/libonnxruntime.so*
# The server reads six of Pillow's formats, draws no text and opens no windows.
rm -f PIL/_avif.* PIL/_imagingft.* PIL/_imagingtk.*
rm -f pillow.libs/libavif-* pillow.libs/libfreetype-* pillow.libs/libharfbuzz-* pillow.libs/libbrotli* pillow.libs/libpng16-*
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) -delete
rm -f /opt/convserve/bin/activate* /opt/convserve/bin/Activate* /opt/convserve/bin/convserve-export \
    /opt/convserve/bin/f2py /opt/convserve/bin/numpy-config /opt/convserve/bin/onnxruntime_test

# No process may change its user by a setuid or setgid file.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
