import { z } from "zod";
import { epochsFrom, firstReqid, reqidBits } from "../kernel/xfrm.js";
import type { Derive } from "../model/derive.js";
import type { HostIdentity } from "../model/identity.js";
import type { OverlayTunnelObject, PeerAssociations } from "../model/object.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts } from "../model/world.js";
import { known } from "./schema.js";
import { unknown } from "./unknown.js";

const secret = z
    .string("a text is expected")
    .min(16, "must have at least 16 characters; `openssl rand -base64 32` makes a good one");

/** One secret, or several: the first one sends, all of them receive. */
export const keySchema = z.union(
    [secret, z.array(known(secret)).min(1, "must have one secret at least").max(4, "may have four secrets at most")],
    "a secret is expected, or a list of secrets",
);

/** What the encryption of a tunnel makes of its key, told while nothing is touched. */
export function refuseWrongKey(
    { encryption = "none", key }: { readonly encryption?: unknown; readonly key?: unknown },
    context: z.core.$RefinementCtx,
): void {
    const refuse = (message: string) =>
        context.issues.push({ code: "custom", message, path: ["key"], input: key } as z.core.$ZodRawIssue);
    if (encryption === unknown || key === unknown) return;
    if (encryption === "ipsec" && key === undefined)
        refuse('is required with encryption "ipsec": a secret that all hosts of the segment share');
    if (encryption !== "ipsec" && key !== undefined)
        refuse(`belongs to encryption "ipsec" and would do nothing with "${encryption}"; leave it out`);
    if (Array.isArray(key) && new Set(key).size < key.length) refuse("has the same secret twice");
}

interface Peer {
    readonly underlayAddress: string;
    readonly identity?: Partial<HostIdentity> | undefined;
}

/** The tunnel's arguments that its associations follow from. */
export interface IpsecInputs {
    readonly peers: readonly Peer[];
    readonly port: number;
    readonly key?: string | readonly string[];
}

/** One end of a way: its identity, and the underlay address that its packets carry. */
interface End {
    readonly id: string;
    readonly address: string;
}

/** What all keys of one direction between two hosts follow from. */
function wayOf(from: End, to: End, port: number): string {
    return `${from.id} ${to.id} ${from.address} ${to.address} ${port}`;
}

function reqidOf(derive: Derive, key: string, way: string): number {
    return firstReqid + (Number.parseInt(derive(key, `number ${way}`, 4), 16) % 2 ** reqidBits) * 16;
}

/** 32 bytes for AES-256 and 4 for the salt of its nonces (RFC 4106, 8.1). */
const keyOf = (derive: Derive, key: string, way: string, epoch: number) => derive(key, `key ${way} ${epoch}`, 36);

/** @throws Refusal when it is not known who the ends are */
function waysOf(inputs: IpsecInputs, local: string, own: HostIdentity | undefined) {
    if (own === undefined) {
        throw new Refusal(
            'encryption "ipsec" makes its keys from the host\'s identity, which it does not have yet. Run `pulumi up --refresh`.',
        );
    }
    return inputs.peers.map(({ underlayAddress, identity }, i) => {
        const { id, epoch } = identity ?? {};
        if (id === undefined || epoch === undefined) {
            throw new Refusal(
                `peers[${i}]: encryption "ipsec" makes its keys from the identity of the host at ${underlayAddress}. ` +
                    "Name the Host itself as peer, or give its output `identity`; a Host of an earlier version has one after `pulumi up --refresh`.",
            );
        }
        if (id === own.id) throw new Refusal(`peers[${i}]: its identity is that of this host itself.`);
        const [here, there] = [
            { id: own.id, address: local },
            { id, address: underlayAddress },
        ];
        return { send: wayOf(here, there, inputs.port), receive: wayOf(there, here, inputs.port), epoch };
    });
}

const secretsOf = ({ key = [] }: IpsecInputs) => (typeof key === "string" ? [key] : key);

/** Each peer's associations, in the order of the peers. @throws Refusal */
export function associate(
    inputs: IpsecInputs,
    local: string,
    own: HostIdentity | undefined,
    derive: Derive,
): PeerAssociations[] {
    const all = waysOf(inputs, local, own).map(({ send, receive, epoch }) => ({
        epoch,
        reqids: secretsOf(inputs).map((key) => ({
            send: reqidOf(derive, key, send),
            receive: reqidOf(derive, key, receive),
        })),
    }));
    // The kernel tells them apart by number and own address only.
    const numbers = all.flatMap(({ reqids }) => reqids.map(({ receive }) => receive));
    if (new Set(numbers).size < numbers.length)
        throw new Refusal(
            "two of its associations would have one number. Take another key: the numbers follow from it.",
        );
    return all;
}

/** Keys that the host has outlived, or that another identity of it was the base of. */
export function keyDrift({ ipsec }: OverlayTunnelObject, { identity }: HostFacts): string[] {
    if (ipsec === undefined || identity === undefined) return [];
    if (ipsec.id !== identity.id) return ["its keys are made of another identity than the host has now"];
    return ipsec.epoch === identity.epoch
        ? []
        : [`its keys begin with epoch ${ipsec.epoch}, and the host is in epoch ${identity.epoch}`];
}

/** The lines of the file with the tunnel's keys: from and to which address, number, epoch, key and salt in hex. */
export function renderKeys(inputs: IpsecInputs, local: string, own: HostIdentity, derive: Derive): string {
    const remotes = inputs.peers.map(({ underlayAddress }) => underlayAddress);
    const lines = waysOf(inputs, local, own).flatMap(({ send, receive, epoch }, i) =>
        secretsOf(inputs).flatMap((key) =>
            [
                { way: send, ends: `${local} ${remotes[i]}`, epochs: epochsFrom(own.epoch) },
                { way: receive, ends: `${remotes[i]} ${local}`, epochs: epochsFrom(epoch) },
            ].flatMap(({ way, ends, epochs }) => {
                const reqid = reqidOf(derive, key, way);
                return epochs.map((each) => `${ends} ${reqid} ${each} ${keyOf(derive, key, way, each)}\n`);
            }),
        ),
    );
    return lines.join("");
}
