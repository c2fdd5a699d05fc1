trap '' HUP INT PIPE TERM
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
print_identity() {
    echo '@@ identity'
    if [ -s /var/lib/linuxnet/identity/epoch ]; then
        cat /var/lib/linuxnet/identity/id /var/lib/linuxnet/identity/epoch /var/lib/linuxnet/identity/wireguard.pub 2>/dev/null
    fi
}
print_manifest() {
    print_identity
    echo '@@ generation'
    g=0
    if [ -s /var/lib/linuxnet/generation ]; then read -r g </var/lib/linuxnet/generation; fi
    echo "$g"
    echo '@@ unfinished'
    if [ -s /run/linuxnet/undo ] || { [ "$g" = 0 ] && [ -e /run/linuxnet/lock ]; }; then echo yes; fi
    echo '@@ objects'
    for f in /var/lib/linuxnet/objects/*.json; do
        if [ -f "$f" ]; then cat /var/lib/linuxnet/objects/*.json; fi
        break
    done
}

raise_epoch() {
    e= b=
    [ -s /var/lib/linuxnet/identity/epoch ] || return 0
    read -r e b </var/lib/linuxnet/identity/epoch
    read -r boot </proc/sys/kernel/random/boot_id
    if [ "$b" = "$boot" ]; then return 0; fi
    # Keys of later epochs that this one had to take (see load_associations).
    if [ -s /var/lib/linuxnet/identity/spent ]; then
        e=$(awk -v e="$e" '$2 > e { e = $2 } END { print e }' /var/lib/linuxnet/identity/spent) || return
    fi
    e=$((e + 1))
    (umask 077 && echo "$e $boot" >/var/lib/linuxnet/identity/epoch.new) && sync /var/lib/linuxnet/identity/epoch.new &&
        mv -f /var/lib/linuxnet/identity/epoch.new /var/lib/linuxnet/identity/epoch && sync /var/lib/linuxnet/identity &&
        rm -f /var/lib/linuxnet/identity/spent
}

r=/run/linuxnet
while :; do
    [ -d $r ] || mkdir -p -m 700 $r
    exec 9>>$r/lock
    flock -w 2 9 || {
        echo '@@ locked'; echo $(($(date +%s) - $(stat -c %Y $r/owner || date +%s))); cat $r/owner; exit 74
    }
    if [ $r/lock -ef /proc/self/fd/9 ]; then break; fi
done
printf '%s\n' 'endpoint "web-front" of stack shop/dev' >$r/owner
recovered=
if [ -s $r/undo ]; then
    s=0
    while read -r n; do s=$n; done <$r/stage
    if [ "$s" = 0 ]; then rm -f /var/lib/linuxnet/new/*; : >$r/undo; elif . $r/undo; then : >$r/undo; fi
    recovered=yes
fi
if [ -s $r/undo ]; then exit 77; fi

fail() {
    echo "@@ failed"
    echo "$1"
    if [ $s -ge 4 ]; then s=3; echo $s >>$r/stage; fi
    . $r/undo
    : >$r/undo
    exit 77
}
g=0
if [ -s /var/lib/linuxnet/generation ]; then read -r g </var/lib/linuxnet/generation; fi
i=
if [ -s /var/lib/linuxnet/identity/id ]; then read -r i </var/lib/linuxnet/identity/id; fi
raise_epoch || { echo '@@ failed'; echo identity; exit 77; }
if [ -n "$recovered" ] || [ "$g $i $e" != 'a1  ' ]; then
    print_manifest; exit 75
fi
if [ -e /sys/class/net/lewebfront ]; then echo '@@ taken'; echo 'interface "lewebfront"'; exit 76; fi
if [ -e /etc/netns/web/hosts ]; then echo '@@ taken'; echo 'the file "/etc/netns/web/hosts"'; exit 76; fi
if [ -e /etc/netns/web/resolv.conf ]; then echo '@@ taken'; echo 'the file "/etc/netns/web/resolv.conf"'; exit 76; fi
s=0; echo $s >$r/stage
printf '%s' 'if [ $s -ge 4 ]; then
for f in /var/lib/linuxnet/new/*; do [ ! -e "$f" ] || mv -f /var/lib/linuxnet/new/* /var/lib/linuxnet/objects/ || return 1; break; done
echo b2 >/var/lib/linuxnet/generation || return 1
sync /var/lib/linuxnet/objects || return 1
else
rm -f /var/lib/linuxnet/new/*
if [ $s -ge 3 ]; then :
dns=/run/linuxnet-dns
is_serving() {
    server= comm=
    if [ -s $1/pid ]; then read -r server <$1/pid; fi
    if [ -n "$server" ] && [ -r /proc/$server/comm ]; then read -r comm </proc/$server/comm; fi
    [ "$comm" = dnsmasq ]
}
reload=
put_names() {
    case " $reload " in *" $1 "*) ;; *) reload="$reload $1" ;; esac
    f=$dns/names/$1/$2
    if [ $# = 2 ]; then rm -f $f; return; fi
    if [ ! -d $dns/names/$1 ]; then (umask 022; mkdir -p $dns/names/$1) || return; fi
    a=$3
    shift 3
    while :; do
        echo "${a%%,*} $*"
        case $a in *,*) a=${a#*,} ;; *) break ;; esac
    done >$f
}
reload_resolvers() {
    for n in $reload; do
        for v in $dns/views/*/networks/$n; do
            if is_serving ${v%/networks/*}; then kill -HUP $server; fi
        done
        rmdir $dns/names/$n 2>/dev/null
    done
    rmdir $dns/names $dns 2>/dev/null
    reload=
}
{ put_names lnfront lewebfront && reload_resolvers; } 2>/dev/null || :

nsenter --net=/run/netns/web ip -force -batch - <<'\''LINUXNET_END'\'' 2>/dev/null || :
rule del priority 1000 from 172.20.0.2 lookup 1000
LINUXNET_END

{ rm -f /etc/netns/web/resolv.conf /etc/netns/web/hosts && { rmdir /etc/netns/web 2>/dev/null || :; }; } 2>/dev/null || :

ip -force -batch - <<'\''LINUXNET_END'\'' 2>/dev/null || :
link del dev lewebfront
LINUXNET_END

fi
if [ $s -ge 2 ]; then :
nft -f - <<'\''LINUXNET_END'\'' 2>/dev/null || :
delete element inet linuxnet resolvers { "lnfront" . 172.20.0.2 }
delete element bridge linuxnet sources { "lewebfront" . 172.20.0.2 }
delete element bridge linuxnet macs { "lewebfront" . 02:6c:ac:14:00:02 }
delete element bridge linuxnet endpoints { "lewebfront" }
LINUXNET_END

fi
if [ $s -ge 1 ]; then :
f=$(if [ -e /proc/net/nf_conntrack ]; then grep -oE '\''=(172\.20\.0\.2) '\'' /proc/net/nf_conntrack; else conntrack -L 2>/dev/null | grep -oE '\''=(172\.20\.0\.2) '\''; fi)
if [ -n "$f" ]; then
case $f in *=172.20.0.2'\'' '\''*) conntrack -D -r 172.20.0.2 >/dev/null 2>&1 ;; esac
case $f in *=172.20.0.2'\'' '\''*) conntrack -D -s 172.20.0.2 >/dev/null 2>&1 ;; esac
:
fi

dns=/run/linuxnet-dns
is_serving() {
    server= comm=
    if [ -s $1/pid ]; then read -r server <$1/pid; fi
    if [ -n "$server" ] && [ -r /proc/$server/comm ]; then read -r comm </proc/$server/comm; fi
    [ "$comm" = dnsmasq ]
}
start_resolver() {
    v=$dns/views/$1 w=
    if [ -s $v/words ]; then IFS= read -r w <$v/words; fi
    if [ "$w" = "$*" ] && is_serving $v; then return; fi
    for i in 1 2 3 4 5 6 7 8 9 10; do
        if [ ! -d $dns/leaving/$1.ends ]; then break; fi
        sleep 0.05
    done
    finish_resolver $1
    if mkdir -p $dns/views && mv $dns/leaving/$1 $v 2>/dev/null; then
        rmdir $dns/leaving 2>/dev/null
        if is_serving $v; then kill -HUP $server && return; fi
    fi
    if [ -d $v ]; then set_aside $1 && end_resolver $1; fi
    (
        umask 022
        mkdir -p $v/networks $dns/names || exit
        IFS=,
        {
            printf '\''%s\n'\'' port=$2 bind-interfaces no-hosts local-ttl=0 pid-file=$v/pid
            for a in $3; do
                echo "listen-address=$a"
                case $a in *:*) ip -6 address replace "$a/128" dev lo nodad || exit ;; esac
            done
            for n in $4; do
                if [ "$n" = - ]; then break; fi
                mkdir -p $dns/names/$n && : >$v/networks/$n || exit
                echo "addn-hosts=$dns/names/$n"
            done
            shift 4
            for o; do
                # Came with 2.87 and 2.88.
                case $o in fast-dns-retry=* | filter-AAAA) dnsmasq --help | grep -q -e "--${o%=*}" || continue ;; esac
                echo "$o"
            done
        } >$v/conf || exit
    ) && printf '\''%s\n'\'' "$*" >$v/words || { echo "the files of the resolver in $dns could not be written" >&2; return 1; }
    if launch_resolver $1; then return; fi
    # One whose folder somebody removed still has the address.
    w=$(grep -lsF "$v/conf" /proc/[0-9]*/cmdline | cut -d/ -f3)
    if [ -n "$w" ]; then
        if [ -d /run/systemd/system ]; then systemctl --quiet stop "linuxnet-dns-$1" 2>/dev/null; fi
        kill -9 $w 2>/dev/null
        if launch_resolver $1; then return; fi
    fi
    echo "the resolver does not start: $(cat $v/log 2>/dev/null)" >&2
    set_aside $1 && end_resolver $1
    rmdir $dns/views $dns 2>/dev/null
    return 1
}
launch_resolver() {
    rm -f $v/log
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="linuxnet-dns-$1" --description='\''Names of sandboxes of pulumi-linuxnet'\'' \
            -p Restart=always -p RestartSec=200ms -p StartLimitIntervalSec=0 \
            sh -c "exec dnsmasq -k -C $v/conf 2>$v/log" </dev/null 9>&- || return 1
    else
        setsid sh -c "while [ -e $v/conf ]; do dnsmasq -k -C $v/conf 2>$v/log; sleep 0.2; done" </dev/null >/dev/null 2>&1 9>&- &
    fi
    for i in 0.01 0.01 0.01 0.01 0.02 0.05 0.1 0.2 0.5 1 1; do
        if is_serving $v; then return; fi
        if [ -s $v/log ]; then break; fi
        sleep $i
    done
    is_serving $v
}
set_aside() { mkdir -p $dns/leaving && mv $dns/views/$1 $dns/leaving/$1; }
stop_resolver() {
    set_aside $1 || return
    # Answers may be on their way, so it goes on for a moment; unless nobody is left who asks.
    if rmdir $dns/views 2>/dev/null; then
        for v in $dns/leaving/*; do
            v=${v%.ends}
            end_resolver ${v##*/}
        done
    else
        { sleep 2; end_resolver $1; } </dev/null >/dev/null 2>&1 9>&- &
    fi
}
end_resolver() {
    # Who has the folder has the process: it may be needed again meanwhile.
    mv $dns/leaving/$1 $dns/leaving/$1.ends 2>/dev/null
    finish_resolver $1
}
finish_resolver() {
    old=$dns/leaving/$1.ends w= a=
    if [ ! -d $old ]; then return 0; fi
    if [ -s $old/words ]; then read -r w w a w <$old/words; fi
    # Who asks again from the same port would go on to one that is no more.
    if [ -n "$a" ] && command -v conntrack >/dev/null; then
        for a in "${a%%,*}" "${a##*,}"; do conntrack -D -r "$a" >/dev/null 2>&1; done
    fi
    if is_serving $old; then kill $server; fi
    if [ -d /run/systemd/system ]; then systemctl --quiet stop "linuxnet-dns-$1" 2>/dev/null; fi
    case $a in *:*) ip -6 address del "${a##*,}/128" dev lo 2>/dev/null ;; esac
    rm -rf $old
    rmdir $dns/leaving $dns/names/* $dns/names $dns 2>/dev/null
    :
}
{ stop_resolver cf55e19b1f32; } 2>/dev/null || :

fi
fi
return 0
' >$r/undo
{ [ -d /var/lib/linuxnet/new ] || mkdir -p /var/lib/linuxnet/objects /var/lib/linuxnet/new; } && for f in /var/lib/linuxnet/new/*; do [ ! -e "$f" ] || rm -f /var/lib/linuxnet/new/*; break; done || fail manifest
printf '%s\n' '{"schemaVersion":1,"kind":"endpoint","key":"lewebfront","generation":"1","owner":{"project":"shop","stack":"dev","urn":"urn:web-front","name":"web-front"},"name":"web-front","labels":{},"sandbox":"lsweb","network":"lnfront","ipv4Address":"172.20.0.2","macAddress":"02:6c:ac:14:00:02","interfaceName":"front","gatewayPriority":0,"routingTable":1000}' >/var/lib/linuxnet/new/lewebfront.json || fail manifest
printf '%s' '02 nft - add element bridge linuxnet endpoints { "lewebfront" }
02 nft - add element bridge linuxnet macs { "lewebfront" . 02:6c:ac:14:00:02 }
02 nft - add element bridge linuxnet sources { "lewebfront" . 172.20.0.2 }
34 names - lnfront lewebfront 172.20.0.2 web.front web
08 ip - link add name lewebfront mtu 1500 type veth peer name front mtu 1500 address 02:6c:ac:14:00:02 netns web
08 ip - link set dev lewebfront master lnfront addrgenmode none alias "linuxnet endpoint web-front (dev)" group 0
08 ip - link set dev lewebfront type bridge_slave hairpin on isolated off
08 ip - link set dev lewebfront up
08 sysctl web net/ipv6/conf/front/accept_ra 0
08 ip web link set dev front addrgenmode none
08 ip web link set dev front up
09 ip web address replace 172.20.0.2/24 dev front
10 ip web route replace 172.20.0.0/24 dev front src 172.20.0.2 table 1000
10 ip web route replace default via 172.20.0.1 dev front table 1000
11 ip web rule add priority 1000 from 172.20.0.2 lookup 1000
' >/var/lib/linuxnet/new/lewebfront.restore || fail manifest
{ sync /var/lib/linuxnet/new/* </dev/null >/dev/null 2>&1 9>&- & }; p=$! || fail manifest
s=1; echo $s >>$r/stage
dns=/run/linuxnet-dns
is_serving() {
    server= comm=
    if [ -s $1/pid ]; then read -r server <$1/pid; fi
    if [ -n "$server" ] && [ -r /proc/$server/comm ]; then read -r comm </proc/$server/comm; fi
    [ "$comm" = dnsmasq ]
}
start_resolver() {
    v=$dns/views/$1 w=
    if [ -s $v/words ]; then IFS= read -r w <$v/words; fi
    if [ "$w" = "$*" ] && is_serving $v; then return; fi
    for i in 1 2 3 4 5 6 7 8 9 10; do
        if [ ! -d $dns/leaving/$1.ends ]; then break; fi
        sleep 0.05
    done
    finish_resolver $1
    if mkdir -p $dns/views && mv $dns/leaving/$1 $v 2>/dev/null; then
        rmdir $dns/leaving 2>/dev/null
        if is_serving $v; then kill -HUP $server && return; fi
    fi
    if [ -d $v ]; then set_aside $1 && end_resolver $1; fi
    (
        umask 022
        mkdir -p $v/networks $dns/names || exit
        IFS=,
        {
            printf '%s\n' port=$2 bind-interfaces no-hosts local-ttl=0 pid-file=$v/pid
            for a in $3; do
                echo "listen-address=$a"
                case $a in *:*) ip -6 address replace "$a/128" dev lo nodad || exit ;; esac
            done
            for n in $4; do
                if [ "$n" = - ]; then break; fi
                mkdir -p $dns/names/$n && : >$v/networks/$n || exit
                echo "addn-hosts=$dns/names/$n"
            done
            shift 4
            for o; do
                # Came with 2.87 and 2.88.
                case $o in fast-dns-retry=* | filter-AAAA) dnsmasq --help | grep -q -e "--${o%=*}" || continue ;; esac
                echo "$o"
            done
        } >$v/conf || exit
    ) && printf '%s\n' "$*" >$v/words || { echo "the files of the resolver in $dns could not be written" >&2; return 1; }
    if launch_resolver $1; then return; fi
    # One whose folder somebody removed still has the address.
    w=$(grep -lsF "$v/conf" /proc/[0-9]*/cmdline | cut -d/ -f3)
    if [ -n "$w" ]; then
        if [ -d /run/systemd/system ]; then systemctl --quiet stop "linuxnet-dns-$1" 2>/dev/null; fi
        kill -9 $w 2>/dev/null
        if launch_resolver $1; then return; fi
    fi
    echo "the resolver does not start: $(cat $v/log 2>/dev/null)" >&2
    set_aside $1 && end_resolver $1
    rmdir $dns/views $dns 2>/dev/null
    return 1
}
launch_resolver() {
    rm -f $v/log
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="linuxnet-dns-$1" --description='Names of sandboxes of pulumi-linuxnet' \
            -p Restart=always -p RestartSec=200ms -p StartLimitIntervalSec=0 \
            sh -c "exec dnsmasq -k -C $v/conf 2>$v/log" </dev/null 9>&- || return 1
    else
        setsid sh -c "while [ -e $v/conf ]; do dnsmasq -k -C $v/conf 2>$v/log; sleep 0.2; done" </dev/null >/dev/null 2>&1 9>&- &
    fi
    for i in 0.01 0.01 0.01 0.01 0.02 0.05 0.1 0.2 0.5 1 1; do
        if is_serving $v; then return; fi
        if [ -s $v/log ]; then break; fi
        sleep $i
    done
    is_serving $v
}
set_aside() { mkdir -p $dns/leaving && mv $dns/views/$1 $dns/leaving/$1; }
stop_resolver() {
    set_aside $1 || return
    # Answers may be on their way, so it goes on for a moment; unless nobody is left who asks.
    if rmdir $dns/views 2>/dev/null; then
        for v in $dns/leaving/*; do
            v=${v%.ends}
            end_resolver ${v##*/}
        done
    else
        { sleep 2; end_resolver $1; } </dev/null >/dev/null 2>&1 9>&- &
    fi
}
end_resolver() {
    # Who has the folder has the process: it may be needed again meanwhile.
    mv $dns/leaving/$1 $dns/leaving/$1.ends 2>/dev/null
    finish_resolver $1
}
finish_resolver() {
    old=$dns/leaving/$1.ends w= a=
    if [ ! -d $old ]; then return 0; fi
    if [ -s $old/words ]; then read -r w w a w <$old/words; fi
    # Who asks again from the same port would go on to one that is no more.
    if [ -n "$a" ] && command -v conntrack >/dev/null; then
        for a in "${a%%,*}" "${a##*,}"; do conntrack -D -r "$a" >/dev/null 2>&1; done
    fi
    if is_serving $old; then kill $server; fi
    if [ -d /run/systemd/system ]; then systemctl --quiet stop "linuxnet-dns-$1" 2>/dev/null; fi
    case $a in *:*) ip -6 address del "${a##*,}/128" dev lo 2>/dev/null ;; esac
    rm -rf $old
    rmdir $dns/leaving $dns/names/* $dns/names $dns 2>/dev/null
    :
}
{ start_resolver cf55e19b1f32 15311 127.85.225.155 lnfront cache-size=1000 local=// local=/front/; } || fail 0

s=2; echo $s >>$r/stage
nft -f - <<'LINUXNET_END' || fail 1
add element bridge linuxnet endpoints { "lewebfront" }
add element bridge linuxnet macs { "lewebfront" . 02:6c:ac:14:00:02 }
add element bridge linuxnet sources { "lewebfront" . 172.20.0.2 }
add element inet linuxnet resolvers { "lnfront" . 172.20.0.2 : 127.85.225.155 . 15311 }
LINUXNET_END

s=3; echo $s >>$r/stage
echo '@@ links'
ip -j -d -batch - <<'LINUXNET_END' || fail 2
link add name lewebfront mtu 1500 type veth peer name front mtu 1500 address 02:6c:ac:14:00:02 netns web
link set dev lewebfront master lnfront addrgenmode none alias "linuxnet endpoint web-front (dev)" group 0
link set dev lewebfront type bridge_slave hairpin on isolated off
link set dev lewebfront up
addr show dev lewebfront
LINUXNET_END

write_netns_files() {
    for f in "$@"; do
        shift
        if [ ! -d "$f" ]; then set -- "$@" "$f"; fi
    done
    if [ $# -gt 0 ]; then mkdir -p "$@" || return 1; fi
    t=$(awk '
        function find_servers(file,  row, part) {
            while ((getline row <file) > 0) {
                if (split(row, part, " ") < 2 || part[1] != "nameserver" || part[2] !~ /^[0-9A-Fa-f.:]+$/) continue
                if (part[2] !~ /^127\.|^::1$|^0\.0\.0\.0$/) server[++servers] = "nameserver " part[2]
            }
            close(file)
        }
        function find_all_servers() {
            if (looked++) return
            if (!servers) find_servers("/etc/resolv.conf")
            if (!servers) find_servers("/run/systemd/resolve/resolv.conf")
            if (!servers) find_servers("/run/NetworkManager/no-stub-resolv.conf")
        }
        function want(how, numbers,  ranges, range, ends, i, j, k) {
            count = 0
            ranges = split(numbers, range, ",")
            for (i = 1; i <= ranges; i++) {
                if (split(range[i], ends, "-") == 1) ends[2] = ends[1]
                for (j = ends[1] + 0; j <= ends[2] + 0; j++) {
                    wanted[++count] = line[j]
                    if (how != "ask" || count > 1) continue
                    find_all_servers()
                    for (k = 1; k <= servers; k++) wanted[++count] = server[k]
                }
            }
        }
        function read_old(path,  row) {
            rows = size = 0
            while ((getline row <path) > 0) { old[++rows] = row; size += length(row) + 1 }
            close(path)
        }
        function merge(path,  i, j, key, missing, changed, added, fresh) {
            for (i = 1; i <= count; i++) missing[wanted[i]]
            for (i = 1; i <= rows; i++) {
                key = old[i]
                sub(/ +$/, "", key)
                if (key in missing) delete missing[key]
                else if (key != "") { changed = 1; gsub(/./, " ", old[i]) }
            }
            for (i = 1; i <= count; i++) {
                if (!(wanted[i] in missing)) continue
                for (j = 1; j <= rows; j++) if (old[j] ~ /^ *$/ && length(old[j]) >= length(wanted[i])) break
                if (j > rows) { fresh[++added] = wanted[i]; continue }
                old[j] = wanted[i] substr(old[j], length(wanted[i]) + 1)
                changed = 1
            }
            for (i = rows; i > 0 && !added && old[i] ~ /^ *$/; i--) size -= length(old[i]) + 1
            if (i < rows && !added) cut(path)
            if (!changed && !added) return
            begin()
            if (changed) for (i = 1; i <= rows; i++) print old[i]
            for (i = 1; i <= added; i++) print fresh[i]
            end(changed ? "1<>" : ">>", path)
        }
        function write(path,  i, text, old_size) {
            for (i = 1; i <= count; i++) text = text wanted[i] "\n"
            old_size = size
            size = length(text)
            if (size < old_size) cut(path)
            while (length(text) < old_size) text = text "\n"
            begin()
            printf "%s", text
            end("1<>", path)
        }
        function cut(path) { shorter[size] = shorter[size] " " path }
        # Not by awk itself, which cannot write into a file that is there.
        function begin() { printf "printf %%s \047" }
        function end(how, path) { print "\047 " how path " || return 1"; written[++files] = path }
        $1 == "L" { line[++lines] = substr($0, 3); next }
        { want($2, $4); read_old($3); if ($2 == "merge") merge($3); else write($3) }
        END {
            for (size in shorter) print "truncate -s " size shorter[size] " || return 1"
            # A power cut must not leave them empty; as with the manifest, many are brought to the disk at once.
            if (!files) exit
            if (files > 32) { printf "sync -f"; files = 1 } else printf "sync"
            for (i = 1; i <= files; i++) printf " %s", written[i]
            print " || return 1"
        }
    ') || return 1
    eval "$t"
}
write_netns_files /etc/netns/web <<'LINUXNET_END' || fail 3
L # Of pulumi-linuxnet, which writes over what is changed here.
L 127.0.0.1 localhost
L ::1 localhost ip6-localhost ip6-loopback
L 172.20.0.2 web.front web
L 172.20.0.1 host.docker.internal host.linuxnet.internal
L nameserver 172.20.0.1
L options ndots:0
F merge /etc/netns/web/hosts 1-5
F write /etc/netns/web/resolv.conf 1,6-7
LINUXNET_END

nsenter --net=/run/netns/web sh <<'LINUXNET_END' || fail 4
set -e
printf '%s\n' 1 >/proc/sys/net/ipv4/conf/front/arp_notify
if [ -e /proc/sys/net/ipv6/conf/front/ndisc_notify ]; then printf '%s\n' 1 >/proc/sys/net/ipv6/conf/front/ndisc_notify; fi
if [ -e /proc/sys/net/ipv6/conf/front/accept_ra ]; then printf '%s\n' 0 >/proc/sys/net/ipv6/conf/front/accept_ra; fi
printf '%s\n' 1 >/proc/sys/net/ipv4/conf/front/route_localnet
LINUXNET_END

echo '@@ namespace web'
nsenter --net=/run/netns/web ip -j -d -batch - <<'LINUXNET_END' || fail 5
link set dev front addrgenmode none
link set dev front up
address replace 172.20.0.2/24 dev front
route replace 172.20.0.0/24 dev front src 172.20.0.2 table 1000
route replace default via 172.20.0.1 dev front table 1000
route replace 127.0.0.11 via 172.20.0.1 dev front src 172.20.0.2 table local
route replace default via 172.20.0.1 dev front table main
rule add priority 1000 from 172.20.0.2 lookup 1000
link set dev front address 02:6c:ac:14:00:02
addr show
route show table all type unicast
rule show
LINUXNET_END

dns=/run/linuxnet-dns
is_serving() {
    server= comm=
    if [ -s $1/pid ]; then read -r server <$1/pid; fi
    if [ -n "$server" ] && [ -r /proc/$server/comm ]; then read -r comm </proc/$server/comm; fi
    [ "$comm" = dnsmasq ]
}
reload=
put_names() {
    case " $reload " in *" $1 "*) ;; *) reload="$reload $1" ;; esac
    f=$dns/names/$1/$2
    if [ $# = 2 ]; then rm -f $f; return; fi
    if [ ! -d $dns/names/$1 ]; then (umask 022; mkdir -p $dns/names/$1) || return; fi
    a=$3
    shift 3
    while :; do
        echo "${a%%,*} $*"
        case $a in *,*) a=${a#*,} ;; *) break ;; esac
    done >$f
}
reload_resolvers() {
    for n in $reload; do
        for v in $dns/views/*/networks/$n; do
            if is_serving ${v%/networks/*}; then kill -HUP $server; fi
        done
        rmdir $dns/names/$n 2>/dev/null
    done
    rmdir $dns/names $dns 2>/dev/null
    reload=
}
{ put_names lnfront lewebfront 172.20.0.2 web.front web && reload_resolvers; } || fail 6

wait $p || fail manifest
s=4; echo $s >>$r/stage
mv -f /var/lib/linuxnet/new/* /var/lib/linuxnet/objects/ || fail manifest
echo b2 >/var/lib/linuxnet/generation || exit 77
sync /var/lib/linuxnet/objects || exit 77
: >$r/undo

echo '@@ done'
