#!/bin/sh
# Take out of this root what a server never opens. Run in a stage that is then copied into an empty image,
# so that what is removed is gone and not merely hidden by a layer.
set -eu

# Debian's packages, by name, so that its list of what is installed stays true for scanners.
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

# The interpreter, whether Debian's or the one that python's own images build below /usr/local.
for library in /usr/lib/python3.* /usr/local/lib/python3.*; do
    [ -d "$library" ] || continue
    (cd "$library" && rm -rf ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo turtle.py distutils \
        config-3.* site-packages/pip site-packages/pip-* site-packages/setuptools* site-packages/wheel*)
done
rm -f /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/2to3*

# The libraries' own tests, sources, declarations and workshops.
cd /opt/convserve/lib/python3*/site-packages
rm -rf numpy/f2py numpy/distutils numpy/_pyinstaller numpy/_core/include numpy/_core/lib numpy/random/lib \
    onnxruntime/transformers onnxruntime/quantization onnxruntime/tools onnxruntime/datasets \
    pydantic/v1 convserve/export
# ONNX Runtime lies here twice: Python loads its own module, and only programs in C would load the library.
rm -f onnxruntime/capi/libonnxruntime.so*
# Of Pillow's formats the server reads six; it draws no text and opens no window.
rm -f PIL/_avif.* PIL/_imagingft.* PIL/_imagingtk.*
rm -f pillow.libs/libavif-* pillow.libs/libfreetype-* pillow.libs/libharfbuzz-* pillow.libs/libbrotli* pillow.libs/libpng16-*
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) -delete
rm -f /opt/convserve/bin/activate* /opt/convserve/bin/Activate* /opt/convserve/bin/convserve-export \
    /opt/convserve/bin/f2py /opt/convserve/bin/numpy-config /opt/convserve/bin/onnxruntime_test

# Nobody in the image may become somebody else.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
