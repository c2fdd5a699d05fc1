import fc from "fast-check";
import { expect, test } from "vitest";
import { createFrameReader, type Frame, renderRun } from "../../../provider/host/framing.js";
import { quote } from "../../../provider/host/quote.js";

function read(markers: readonly string[], chunks: readonly Buffer[]): Frame[] {
    const frames: Frame[] = [];
    const reader = createFrameReader((frame) => frames.push(frame));
    for (const marker of markers) reader.expect(marker);
    for (const chunk of chunks) reader.push(chunk);
    return frames;
}

test.each([
    ["a plain frame", "m-1:begin\nhello\nm-1:end 0\n", [{ text: "hello\n", trailer: "0" }]],
    ["text without a last newline", "m-1:begin\nhellom-1:end 3\n", [{ text: "hello", trailer: "3" }]],
    ["no text", "m-1:begin\nm-1:end 0\n", [{ text: "", trailer: "0" }]],
    ["no trailer, as on stderr", "m-1:begin\noops\nm-1:end\n", [{ text: "oops\n", trailer: "" }]],
    ["a banner before it", "Welcome!\nm-\nm-1:begin\nx\nm-1:end 0\n", [{ text: "x\n", trailer: "0" }]],
    ["a banner without newline", "> m-1:begin\nx\nm-1:end 0\n", [{ text: "x\n", trailer: "0" }]],
    ["an end without its newline yet", "m-1:begin\nx\nm-1:end 1", []],
    [
        "two frames with late words of a background process between",
        "m-1:begin\na\nm-1:end 0\nlate\nm-2:begin\nb\nm-2:end 1\n",
        [
            { text: "a\n", trailer: "0" },
            { text: "b\n", trailer: "1" },
        ],
    ],
])("framing: reads %s", (_name, stream, expected) => {
    expect(read(["m-1", "m-2"], [Buffer.from(stream)])).toEqual(expected);
});

test("framing: drops what comes when nothing is expected", () => {
    const frames: Frame[] = [];
    const reader = createFrameReader((frame) => frames.push(frame));
    reader.push(Buffer.from("motd\n"));
    reader.expect("m-1");
    reader.push(Buffer.from("m-1:begin\nx\nm-1:end 0\n"));
    expect(frames).toEqual([{ text: "x\n", trailer: "0" }]);
});

test("framing: finds the same texts however the bytes are cut", () => {
    const texts = fc.array(fc.string({ unit: "binary", maxLength: 40 }), { minLength: 1, maxLength: 12 });
    const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 });
    fc.assert(
        fc.property(texts, cuts, (bodies, sizes) => {
            const markers = bodies.map((_body, index) => `m-${index + 1}`);
            const stream = bodies.map(
                (body, index) => `noise m-${index + 1}:begin\n${body}m-${index + 1}:end ${index}\n`,
            );
            const bytes = Buffer.from(stream.join(""));
            const chunks: Buffer[] = [];
            for (let from = 0, index = 0; from < bytes.length; index++) {
                const size = sizes[index % sizes.length] ?? 1;
                chunks.push(bytes.subarray(from, from + size));
                from += size;
            }
            const expected = bodies.map((body, index) => ({
                text: Buffer.from(body).toString(),
                trailer: String(index),
            }));
            expect(read(markers, chunks)).toEqual(expected);
        }),
    );
});

test("framing: reads 20 MB in small chunks in linear time", () => {
    const chunk = Buffer.alloc(16 * 1024, "x");
    const chunks = Array.from({ length: 1280 }, () => chunk);
    const startedAt = performance.now();
    const [frame] = read(["m-1"], [Buffer.from("m-1:begin\n"), ...chunks, Buffer.from("m-1:end 0\n")]);
    expect(frame?.text.length).toBe(20 * 1024 * 1024);
    expect(performance.now() - startedAt).toBeLessThan(2000);
});

test("framing: a script is one quoted word of one compound command", () => {
    expect(renderRun("echo 'it'\nexit 3", "m-1")).toBe(
        "{ { echo m-1:begin && echo m-1:begin >&2; } || exit 1; " +
            "(eval 'echo '\\''it'\\''\nexit 3') </dev/null; " +
            'echo "m-1:end $?"; echo m-1:end >&2; }\n',
    );
});

test.each([
    ["sh", "sh"],
    ["a b", "'a b'"],
    ["", "''"],
    ["it's", "'it'\\''s'"],
    ["$HOME;`id`", "'$HOME;`id`'"],
])("framing: quotes %j as %s", (text, word) => {
    expect(quote(text)).toBe(word);
});
