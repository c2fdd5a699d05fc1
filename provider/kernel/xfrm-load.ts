import { algorithm, epochsAhead } from "./xfrm.js";

const folder = "/var/lib/linuxnet";

/**
 * Shell function `load_associations`: reads lines `receive <from> <to> <reqid> <spi> <epoch>`, `send <from> <to> <reqid> <first spi>`
 * and `delete <from> <to> <reqid> [<spi>]`, and hands them to ip(8) with the keys from the files beside the objects, those of a
 * running transaction first. Keys go by pipes and variables only. What is there stays as it is: its counters go on.
 *
 * A key that was used is never used again (RFC 4106, 5): `spent` has the reqids and epochs of this boot, and is on the disk
 * before a packet is sent. Nearly always one line of output for each of input, so that ip's line numbers are ours.
 */
export const loadAssociations = `load_associations() (
    umask 077
    s=${folder}/identity/spent
    b=$({
        echo '@ state'; ip xfrm state list nokeys
        echo '@ key'; cat ${folder}/new/*.keys ${folder}/objects/*.keys
        echo '@ spent'; cat $s
        echo '@ epoch'; cat ${folder}/identity/epoch
        echo '@ line'; cat
    } 2>/dev/null | awk -v s="$s" -v force="$1" '
        function fail(words) { print "linuxnet: " words >"/dev/stderr"; if (!force) exit 1; print "" }
        function add(reqid, spi, epoch) {
            print "xfrm state add src " $2 " dst " $3 " proto esp spi " spi " reqid " reqid " mode transport replay-window 128 flag esn aead ${algorithm} 0x" key[pair " " epoch] " 128"
        }
        $1 == "@" { part = $2; next }
        part == "state" && $1 == "src" { from = $2; to = $4 }
        part == "state" && $1 == "proto" && $4 !~ /^0x0+$/ {
            there[from " " to " " $6 " " $4] = 1
            there[from " " to " " $6] = there[from " " to " " $6] " " $4
        }
        part == "key" { key[$1 " " $2 " " $3 " " $4] = $5 }
        part == "spent" { spent[$1 " " $2] = 1 }
        part == "epoch" { now = $1 }
        part != "line" { next }
        { pair = $2 " " $3 " " $4 }
        $1 == "delete" {
            n = split(pair in there ? there[pair] : "", spi, " ")
            if (n == 0) print ""
            for (i = 1; i <= n; i++) if ($5 == "" || $5 == spi[i]) {
                print "xfrm state delete src " $2 " dst " $3 " proto esp spi " spi[i]
                delete there[pair " " spi[i]]
            }
            next
        }
        ($1 == "send" ? pair : pair " " $5) in there { print ""; next }
        $1 == "receive" && (pair " " $6) in key { add($4, $5, $6); next }
        $1 == "send" {
            for (e = now; e <= now + ${epochsAhead}; e++) if ((pair " " e) in key && !(($4 " " e) in spent)) break
            if (e <= now + ${epochsAhead}) {
                print $4, e >>s
                spent[$4 " " e] = 1
                add($4, substr($5, 1, length($5) - 1) substr("0123456789abcdef", e % 16 + 1, 1), e)
                next
            }
        }
        { fail("no unused key is kept for " $2 " to " $3 ". Run pulumi up --refresh; if it stays, give the segment a new key.") }
    ') || exit
    if [ -s $s ]; then sync $s || exit; fi
    printf '%s\\n' "$b" | ip $1 -batch -
)
`;
