import { expect, test } from "vitest";
import { parseIdentity } from "../../../provider/kernel/identity.js";

const id = "0123456789abcdef0123456789abcdef";
const boot = "69478085-05f3-4309-be3b-3991e05a465e";
const key = `${"A".repeat(43)}=`;

test.each([
    ["with a key", `${id}\n3 ${boot}\n${key}\n`, { id, epoch: 3, wireguardPublicKey: key }],
    ["without wg", `${id}\n12 ${boot}\n`, { id, epoch: 12 }],
    ["none", "", undefined],
    ["half of one", `${id}\n`, undefined],
])("identity: %s", (_title, printed, identity) => {
    expect(parseIdentity(printed)).toEqual(identity);
});
