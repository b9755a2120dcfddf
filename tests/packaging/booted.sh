#!/bin/sh
# Boots systemd in namespaces of its own, on an overlay of this machine's root, for
# test_systemd_booted.py:  booted.sh WORK REPO. It runs WORK/probe.service and ends; nothing of it is left.
set -eu
work=$1 repo=$2

if [ "${3:-}" != inside ]; then
    # In a mount namespace of our own by now: a cgroup that is systemd's root.
    mount --make-rprivate /
    mkdir -p "$work/cgroup"
    mount -t cgroup2 none "$work/cgroup"
    own=$work/cgroup/nfsloop-test-$$
    mkdir "$own"
    status=0
    sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$own" \
        timeout --kill-after 5 100 \
        unshare --cgroup --pid --mount --uts --ipc --net --fork --kill-child \
        "$0" "$work" "$repo" inside || status=$?
    find "$own" -depth -type d -exec rmdir {} \;
    exit $status
fi

mkdir "$work/layer"
mount -t tmpfs tmpfs "$work/layer"
mkdir "$work/layer/upper" "$work/layer/work" "$work/layer/root"
mount -t overlay -o "lowerdir=/,upperdir=$work/layer/upper,workdir=$work/layer/work" \
    overlay "$work/layer/root"
cd "$work/layer/root"
mkdir -p out
mount --bind "$work/out" out
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount --rbind /dev dev
ip link set lo up

mkdir -p run/systemd/system etc/nfsloop srv/data opt/nfsloop opt/readonly
cp -r "$repo"/share/systemd/* out/units/* run/systemd/system/
cp out/etc/* etc/nfsloop/
for package in nfsloop oncrpc portmap backends; do cp -r "$repo/$package" opt/nfsloop/; done
printf '#!/bin/sh\nPYTHONPATH=/opt/nfsloop exec /usr/bin/python3 -m nfsloop "$@"\n' >usr/local/bin/nfsloop
chmod +x usr/local/bin/nfsloop
echo 0123456789abcdef0123456789abcdef >etc/machine-id
# What units usually wait for, of which nothing must run here.
for name in sysinit basic sockets network-online nss-lookup nss-user-lookup shutdown; do
    printf '[Unit]\nDefaultDependencies=no\n' >run/systemd/system/$name.target
done

# It would clear /tmp, name by name.
ln -s /dev/null run/systemd/system/systemd-tmpfiles-setup.service

mkdir -p mnt
pivot_root . mnt
umount -l /mnt
export container=test
exec /lib/systemd/systemd --unit=probe.service --log-target=console --show-status=no \
    </dev/null >/out/systemd.log 2>&1
