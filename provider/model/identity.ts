/**
 * Who a host is to the other hosts of an encrypted segment. Made on the host with its first Host resource, and gone with
 * the last one, so that keys made from it never come again.
 */
export interface HostIdentity {
    /** 16 random bytes in hex. */
    readonly id: string;
    /** Goes up with each boot, from 1: counters of keys begin anew then, so the keys have to be others. */
    readonly epoch: number;
    /** In base64, as `wg pubkey` prints it; its private half never leaves the host. Absent: the host has no `wg`. */
    readonly wireguardPublicKey?: string;
}
