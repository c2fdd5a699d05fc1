import type { HostIdentity } from "../model/identity.js";

/** Files of mode 0600 in a folder of mode 0700; also what is secret about a host, and is never read by us. */
export const identityDirectory = "/var/lib/linuxnet/identity";
/** The host's private key, for wg(8), which takes it from a file. */
export const wireguardKeyPath = `${identityDirectory}/wireguard.key`;
export const wireguardPublicKeyPath = `${identityDirectory}/wireguard.pub`;

/** Shell function `print_identity`: nothing where there is none. */
export const printIdentity = `print_identity() {
    echo '@@ identity'
    if [ -s ${identityDirectory}/epoch ]; then
        cat ${identityDirectory}/id ${identityDirectory}/epoch ${wireguardPublicKeyPath} 2>/dev/null
    fi
}
`;

/** What `print_identity` prints: the id, the epoch with the boot it is of, the public key. */
export function parseIdentity(body: string | undefined): HostIdentity | undefined {
    const [id = "", numbered = "", publicKey = ""] = (body ?? "").trim().split("\n");
    const epoch = Number.parseInt(numbered, 10);
    if (id === "" || Number.isNaN(epoch)) return undefined;
    return { id, epoch, ...(publicKey === "" ? {} : { wireguardPublicKey: publicKey }) };
}

/**
 * Shell commands that make what is missing of the identity. Of several at once the first wins: ln(1) never writes over.
 * The private key goes from wg(8) into its file, and is in no argument and no variable.
 *
 * @param id the id to take where there is none
 */
export function makeIdentity(id: string): string {
    return `(
    umask 022 && mkdir -p ${identityDirectory.slice(0, identityDirectory.lastIndexOf("/"))} || exit
    umask 077 && mkdir -p ${identityDirectory} && cd ${identityDirectory} || exit
    publish() {
        sync "$1.$$" && ln "$1.$$" "$1" 2>/dev/null
        rm -f "$1.$$"
    }
    if [ ! -s id ]; then echo ${id} >id.$$ && publish id; fi
    read -r boot </proc/sys/kernel/random/boot_id
    if [ ! -s epoch ]; then echo "1 $boot" >epoch.$$ && publish epoch; fi
    if command -v wg >/dev/null; then
        if [ ! -s wireguard.key ]; then wg genkey >wireguard.key.$$ && publish wireguard.key; fi
        if [ ! -s wireguard.pub ]; then wg pubkey <wireguard.key >wireguard.pub.$$ && publish wireguard.pub; fi
    fi
    sync .
)
`;
}

/**
 * Shell function `raise_epoch`, for who holds the host lock: counts a boot that was not counted yet. Sets `e` to the epoch,
 * to nothing where there is none, and fails when the disk does not take it.
 */
export const raiseEpoch = `raise_epoch() {
    e= b=
    [ -s ${identityDirectory}/epoch ] || return 0
    read -r e b <${identityDirectory}/epoch
    read -r boot </proc/sys/kernel/random/boot_id
    if [ "$b" = "$boot" ]; then return 0; fi
    # Keys of later epochs that this one had to take (see load_associations).
    if [ -s ${identityDirectory}/spent ]; then
        e=$(awk -v e="$e" '$2 > e { e = $2 } END { print e }' ${identityDirectory}/spent) || return
    fi
    e=$((e + 1))
    (umask 077 && echo "$e $boot" >${identityDirectory}/epoch.new) && sync ${identityDirectory}/epoch.new &&
        mv -f ${identityDirectory}/epoch.new ${identityDirectory}/epoch && sync ${identityDirectory} &&
        rm -f ${identityDirectory}/spent
}
`;
