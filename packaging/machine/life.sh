#!/bin/bash
# life.sh   the life of the package in a booted machine: install, upgrade, downgrade, remove, purge. /root/files has
# old.deb and new.deb, of two versions.
# shellcheck source=/dev/null
. /root/lib.sh
cd /root/files || exit 1

# What there is before; the same has to be there at the end.
everything() {
  find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /root -o -path /var/log -o -path /var/cache \
    -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/tmp -o -path /dev \) -prune -o -print | sort
}
everything >/root/before
getent passwd >/root/passwd.before

say install
check 'apt installs' apt-get install -y -q --no-install-recommends ./old.deb
first 5 'after installing'
equal 'service is active' "$(systemctl is-active webgear)" active
equal 'service is enabled' "$(systemctl is-enabled webgear)" enabled
equal 'socket unit is not' "$(systemctl is-enabled webgear.socket)" disabled
equal 'pages are provisioned' "$(systemctl is-active webgear-provision)" active
equal 'pages belong to the service' "$(find /var/lib/webgear ! -user webgear -o ! -group webgear | wc -l)" 0
equal 'pages are there' "$(find /var/lib/webgear/webgear/templates /var/lib/webgear/webgear/static -type f | wc -l)" 7
equal 'others cannot read the settings' "$(stat -c '%U:%G %a' /etc/webgear/webgear.yaml)" 'root:webgear 640'
equal 'status line' "$(systemctl show -P StatusText webgear | cut -c1-13)" 'Camera online'
equal 'fields in the journal' "$(journal -u webgear WEBGEAR_EVENT=serving -o json | grep -c WEBGEAR_URL)" 1
check 'page from anywhere' get -f -o /dev/null "http://$(hostname -I 2>/dev/null | awk '{print $1}' | grep . || echo 127.0.0.1):8000/"
exposure=$(systemd-analyze security webgear --no-pager | awk '/Overall exposure/ {print $(NF - 2)}' | grep -oE '[0-9.]+')
check "exposure $exposure is at most 2.0" awk "BEGIN {exit !($exposure <= 2.0)}"
check 'manual' man -w webgear
check 'manual of the settings' man -w webgear.yaml
check 'version' webgear version
check 'the doctor finds the server' sh -c 'webgear doctor | grep -q "ok *server *answers on port 8000"'
check 'and writes a report' sh -c 'webgear doctor --report /tmp/report.tar.gz; tar -tzf /tmp/report.tar.gz | grep -q journal.txt'
check 'with the journal in it' sh -c 'tar -xzOf /tmp/report.tar.gz webgear-report/journal.txt | grep -q serving'

say settings
check 'reload without a change' webgear reload
sed -i 's/#level: info/level: debug/' /etc/webgear/webgear.yaml
check 'reload' systemctl reload webgear
equal 'level is in force' "$(journal -u webgear -o cat | grep -c 'settings reloaded.*log.level')" 1
p=$(pid)
echo 'nope: 1' >>/etc/webgear/webgear.yaml
refused 'reload of a mistake' systemctl reload webgear
check 'the mistake is named' sh -c 'webgear reload 2>&1 | grep -q "webgear.yaml line .*nope"'
equal 'the old settings stay' "$(systemctl is-active webgear) $(pid)" "active $p"
check 'picture with the old settings' picture
sed -i /nope/d /etc/webgear/webgear.yaml
systemctl kill -s HUP webgear
reloads() { [ "$(journal -u webgear -o cat | grep -c 'settings reloaded')" = "$1" ]; }
within 5 'SIGHUP reloads' reloads 3

say upgrade
echo '<h1>mine</h1>' >/var/lib/webgear/webgear/templates/index.html
# Twenty viewers as a browser is one: who is cut off connects again.
watching() { [ "$(get http://localhost:8000/state | grep -o '"user_agent"' | wc -l)" = "$1" ]; }
viewer() {
  while [ ! -e /tmp/enough ]; do
    get -m 60 http://localhost:8000/video -o /dev/null -w '%{http_code} %{size_download} %{errormsg}\n' >>"/tmp/viewer.$1"
    sleep 0.1
  done
}
for i in $(seq 20); do viewer "$i" & done
within 10 'twenty viewers' watching 20
p=$(pid)
check 'apt upgrades' apt-get install -y -q --no-install-recommends ./new.deb
within 5 'picture after the upgrade' picture
within 10 'twenty viewers again' watching 20
touch /tmp/enough
refused 'it was restarted' [ "$p" = "$(pid)" ]
equal 'no viewer was refused' "$(cat /tmp/viewer.* 2>/dev/null | grep -cE '^000|refused')" 0
equal 'the page is still mine' "$(get http://localhost:8000/)" '<h1>mine</h1>'
check 'settings are still mine' grep -q 'level: debug' /etc/webgear/webgear.yaml
systemctl restart webgear # ends the streams
wait

say 'stopped and disabled services stay so'
systemctl stop webgear
check 'reinstall while stopped' apt-get install -y -q --reinstall ./new.deb
equal 'stays stopped' "$(systemctl is-active webgear)" inactive
systemctl disable -q webgear
check 'downgrade while disabled' apt-get install -y -q --allow-downgrades ./old.deb
equal 'stays disabled' "$(systemctl is-enabled webgear)" disabled
systemctl enable -q --now webgear
within 5 'picture after the downgrade' picture
check 'downgrade of what runs is an upgrade back' apt-get install -y -q ./new.deb
within 5 'picture after that' picture

say 'remove keeps, purge does not'
check 'apt removes' apt-get remove -y -q webgear
refused 'service is gone' systemctl is-active -q webgear
refused 'nobody listens' curl -s -m 2 http://localhost:8000/
check 'settings stay' test -e /etc/webgear/webgear.yaml
check 'the password stays' test -s /var/lib/webgear/access.json
check 'pages stay' grep -q mine /var/lib/webgear/webgear/templates/index.html
check 'reinstall' apt-get install -y -q ./new.deb
within 5 'picture after reinstalling, with the same password' picture
equal 'the page is mine again' "$(get http://localhost:8000/)" '<h1>mine</h1>'
said=$(apt-get purge -y -q webgear 2>&1)
check 'purge says what it keeps' grep -q '/var/lib/webgear stays' <<<"$said"
check 'edited pages survive a purge' grep -q mine /var/lib/webgear/webgear/templates/index.html
refused 'settings are purged' test -e /etc/webgear
equal 'and so are passwords' "$(find /var/lib/webgear -name '*access*')" ''
check 'install again' apt-get install -y -q ./new.deb
first 5 'after a purge'
equal 'and the page is still mine' "$(get http://localhost:8000/)" '<h1>mine</h1>'
check 'defaults put back' runuser -u webgear -- webgear provision --service --overwrite
rm -f /var/lib/webgear/webgear/templates/*.bak
check 'purge' apt-get purge -y -q webgear
refused 'pages of nobody are purged' test -e /var/lib/webgear
everything >/root/after
equal 'nothing is left behind' "$(diff /root/before /root/after | grep -vE 'passwd|group|shadow|/etc/subuid|/etc/subgid|^[0-9,]+[acd][0-9,]+$|/var/lib/apt|/var/lib/ucf|/etc/ld.so.cache|/\.cache')" ''
equal 'no unit is left' "$(systemctl list-unit-files 'webgear*' --no-legend)" ''
equal 'no unit failed' "$(systemctl list-units --failed --no-legend 'webgear*')" ''
finish
