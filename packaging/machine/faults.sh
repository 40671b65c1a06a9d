#!/bin/bash
# faults.sh   what goes wrong on a machine that nobody looks after. /root/files has new.deb. After the end of each
# fault the service has to be back by itself within 10 seconds.
# shellcheck source=/dev/null
. /root/lib.sh
cd /root/files || exit 1
check 'apt installs' apt-get install -y -q --no-install-recommends ./new.deb
first 5 'after installing'

# changed   succeeds when another process than $p shows a picture.
changed() { [ "$(pid)" != "$p" ] && picture; }

say 'killed'
for _ in 1 2 3; do
  p=$(pid)
  systemctl kill -s KILL webgear
  within 10 'picture after kill -9' changed
done

say 'it does not refuse while it restarts'
: >/tmp/refused
(while [ ! -e /tmp/enough ]; do get -o /dev/null -m 20 http://localhost:8000/state || echo "$?" >>/tmp/refused; done) &
loop=$!
for _ in 1 2 3 4 5; do check 'restart' systemctl restart webgear; done
touch /tmp/enough
wait "$loop"
# 52 and 56: a request that was on its way when the program ended.
equal 'connections that were refused' "$(grep -cvE '^(52|56)$' /tmp/refused)" 0

say 'stopped whole, as a process is that hangs'
p=$(pid)
kill -STOP "$p"
within 60 'the watchdog restarts it' changed
equal 'because of the watchdog' "$(journal -u webgear | grep -c 'Watchdog timeout')" 1

say 'wrong settings'
cp /etc/webgear/webgear.yaml /root/good.yaml
echo 'nope: 1' >>/etc/webgear/webgear.yaml
systemctl restart webgear
failed() { [ "$(systemctl is-failed webgear)" = failed ]; }
within 10 'it gives up' failed
equal 'by the code for it' "$(systemctl show -P ExecMainStatus webgear)" 78
equal 'and is not started again and again' "$(systemctl show -P NRestarts webgear)" 0
check 'the journal names the mistake' bash -c 'journal -u webgear | grep -q "webgear.yaml line .*nope"'
cp /root/good.yaml /etc/webgear/webgear.yaml
check 'start' systemctl start webgear
within 10 'picture' picture

say 'a port that somebody has'
systemctl stop webgear
busybox httpd -f -p 8000 -h /tmp &
thief=$!
within 5 'thief listens' curl -s -o /dev/null http://localhost:8000/
systemctl start --no-block webgear
sleep 20 # longer than systemd's own patience of five starts in ten seconds
kill "$thief"
within 10 'picture once the port is free' picture

say 'a full disk'
systemctl stop webgear webgear-provision
cp -a /var/lib/webgear/access.json /root/access.json
mount -t tmpfs -o size=64k,mode=0750 tmpfs /var/lib/webgear
cp -a /root/access.json /var/lib/webgear/access.json
dd if=/dev/zero of=/var/lib/webgear/fill bs=1k 2>/dev/null
chown -R webgear: /var/lib/webgear
check 'starts all the same' systemctl start webgear
within 10 'picture with a full disk' picture
check 'the page that is built in' bash -c 'get http://localhost:8000/ | grep -qi "<img"'
systemctl stop webgear
umount /var/lib/webgear

say 'a read-only disk'
mount -t tmpfs -o mode=0750,uid="$(id -u webgear)",gid="$(id -g webgear)" tmpfs /var/lib/webgear
cp -a /root/access.json /var/lib/webgear/access.json
mount -o remount,ro /var/lib/webgear
check 'starts all the same' systemctl start webgear
within 10 'picture with a read-only disk' picture
systemctl stop webgear
umount /var/lib/webgear

say 'pages whose provisioning is killed'
systemctl stop webgear-provision
mkdir -p /etc/systemd/system/webgear-provision.service.d
printf '[Service]\nExecStart=\nExecStart=/bin/sleep 99\nTimeoutStartSec=1\n' >/etc/systemd/system/webgear-provision.service.d/x.conf
systemctl daemon-reload
check 'starts all the same' systemctl start webgear
within 10 'picture all the same' picture
rm -r /etc/systemd/system/webgear-provision.service.d
systemctl daemon-reload

say 'provisioning that is killed again and again'
for i in $(seq 60); do
  rm -rf /var/lib/webgear/webgear/static/js /var/lib/webgear/webgear/templates/404.html
  echo "mine $i" >/var/lib/webgear/webgear/templates/base.html
  systemctl stop webgear-provision
  systemctl start --no-block webgear-provision
  sleep "0.0$((RANDOM % 9))"
  systemctl kill -s KILL webgear-provision 2>/dev/null
  [ "$(cat /var/lib/webgear/webgear/templates/base.html)" = "mine $i" ] || fail "kill $i lost an edited file"
  # What is there is whole: of the package, or mine.
  find /var/lib/webgear/webgear -name '404.html' -size 0 | grep -q . && fail "kill $i left half a file"
done
systemctl reset-failed webgear-provision 2>/dev/null
check 'provisioning ends well afterwards' systemctl restart webgear-provision
equal 'all is there' "$(find /var/lib/webgear/webgear -type f | wc -l)" 7
equal 'and belongs to the service' "$(find /var/lib/webgear ! -user webgear | wc -l)" 0

say 'the socket unit'
systemctl stop webgear
check 'systemd listens' systemctl start webgear.socket
within 10 'the first connection starts the service' picture
check 'restart over the socket unit' systemctl restart webgear
within 10 'picture after that' picture
printf 'http: {listen: "127.0.0.1:8000"}\n' >/etc/webgear/webgear.yaml
systemctl restart webgear
within 10 'the settings want another address' failed
check 'and the journal says what to do' bash -c 'journal -u webgear | grep -q "disable --now webgear.socket"'
systemctl disable --now -q webgear.socket
systemctl restart webgear
within 10 'picture on the address of the settings' picture
equal 'and nowhere else' "$(ss -Hltn 'sport = :8000' | awk '{print $4}')" 127.0.0.1:8000
cp /root/good.yaml /etc/webgear/webgear.yaml
systemctl restart webgear
within 10 'picture on all addresses again' picture
equal 'all of them' "$(ss -Hltn 'sport = :8000' | awk '{print $4}')" '*:8000'

say 'what the network is told'
check 'avahi reads the record' systemctl restart avahi-daemon
told() { avahi-browse -rpt _webgear._tcp 2>/dev/null | grep -q 'stream=/video'; }
ip link add dummy0 type dummy 2>/dev/null && ip addr add 10.9.8.7/24 dev dummy0 && ip link set dummy0 up multicast on
within 20 'the record is announced' told || avahi-browse -at
finish
