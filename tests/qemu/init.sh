#!/bin/busybox sh
# First program of the guest: the host's own root file system, read-only under a layer in memory,
# becomes the guest's. What the guest writes is gone when it ends.
/bin/busybox mkdir -p /proc /sys /dev /host /layer /new
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
. /settings
echo "guest: the kernel is up"
while read -r module; do
    /bin/busybox insmod "/modules/$module" || echo "guest: $module cannot be loaded"
done < /modules.list
set -e
/bin/busybox mount -t 9p -o "ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144" host /host
/bin/busybox mount -t tmpfs -o size=256m tmpfs /layer
/bin/busybox mkdir /layer/upper /layer/work
/bin/busybox mount -t overlay -o "lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work" layer /new
for place in proc sys dev; do
    /bin/busybox mount --move "/$place" "/new/$place"
done
# Not over /tmp, where the repository may stand; what is written there goes to the layer.
/bin/busybox mount -t tmpfs tmpfs /new/run
exec /bin/busybox chroot /new /bin/sh "$REPOSITORY/tests/qemu/guest.sh" \
    "$REPOSITORY" "$UNPACKED" "$PYTHON"
