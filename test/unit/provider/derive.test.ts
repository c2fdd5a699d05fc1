import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { derive } from "../../../provider/derive.js";

const hmac = (key: Buffer, data: Buffer) => createHmac("sha256", key).update(data).digest();

/** RFC 5869, 2, by its own words. */
function hkdf(salt: Buffer, secret: Buffer, info: Buffer, byteCount: number): Buffer {
    const prk = hmac(salt, secret);
    let [block, all] = [Buffer.alloc(0), Buffer.alloc(0)];
    for (let i = 1; all.length < byteCount; i++) {
        block = hmac(prk, Buffer.concat([block, info, Buffer.from([i])]));
        all = Buffer.concat([all, block]);
    }
    return all.subarray(0, byteCount);
}

const hex = (text: string) => Buffer.from(text, "hex");

test("derive: is HKDF with SHA-256, as the RFC's own example says it", () => {
    // RFC 5869, A.1.
    const example = hkdf(hex("000102030405060708090a0b0c"), hex("0b".repeat(22)), hex("f0f1f2f3f4f5f6f7f8f9"), 42);
    expect(example.toString("hex")).toBe(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    );
    for (const [secret, info, byteCount] of [
        ["a secret of the segment", "key a b 192.0.2.10 192.0.2.20 4789 1", 36],
        ["ein Schlüssel ☃", "number", 4],
        ["x", "", 100],
    ] as const) {
        const salt = Buffer.from("pulumi-linuxnet segment keys 1");
        expect(derive(secret, info, byteCount)).toBe(
            hkdf(salt, Buffer.from(secret), Buffer.from(info), byteCount).toString("hex"),
        );
    }
});
