#!/bin/bash
# repository.sh   installs from the signed repository /root/files/repo with old.deb in it, upgrades from
# /root/files/newer, and refuses what somebody changed.
# shellcheck source=/dev/null
. /root/lib.sh
cd /root/files || exit 1
. /etc/os-release
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
busybox httpd -f -vv -p 127.0.0.1:8888 -h /root/files >/tmp/served 2>&1 &
server=$!
within 10 'repository is served' curl -s -f -o /dev/null http://127.0.0.1:8888/repo/webgear-archive-keyring.gpg

# use FOLDER   makes apt use it, as the README tells people to.
use() {
  curl -s -f -o /usr/share/keyrings/webgear-archive-keyring.gpg "http://127.0.0.1:8888/repo/webgear-archive-keyring.gpg"
  curl -s -f "http://127.0.0.1:8888/repo/webgear-$VERSION_CODENAME.sources" |
    sed "s|^URIs:.*|URIs: http://127.0.0.1:8888/$1|" >/etc/apt/sources.list.d/webgear.sources
}
use repo
check 'apt reads the repository' apt-get update -q --error-on=any
check 'indexes come by hash' grep -q by-hash/SHA256 /tmp/served
check 'apt installs from it' apt-get install -y -q --no-install-recommends webgear
first 5 'after the end of apt'
old=$(dpkg-query -W -f '${Version}' webgear)

use newer
check 'apt reads the newer one' apt-get update -q --error-on=any
check 'apt upgrades from it' apt-get upgrade -y -q
refused 'version is another' [ "$old" = "$(dpkg-query -W -f '${Version}' webgear)" ]
within 5 'picture after the upgrade' picture

# Somebody changes the packages list, the package, or signs with another key.
rm -rf /var/lib/apt/lists/*
use changed-list
refused 'a changed list is refused' apt-get update -q --error-on=any
rm -rf /var/lib/apt/lists/*
use other-key
refused 'another key is refused' apt-get update -q --error-on=any
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
use changed-package
check 'the lists of a repository with a changed package' apt-get update -q --error-on=any
refused 'a changed package is refused' apt-get install -y -q --reinstall webgear
check 'picture all the same' picture
kill "$server"
finish
