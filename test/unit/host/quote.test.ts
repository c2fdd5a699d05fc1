import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { groupLines, quote, renderGroup } from "../../../provider/host/quote.js";
import { bridge, command, ip, type Line, nft, sysctl } from "../../../provider/kernel/line.js";

const sh = (script: string) => execFileSync("sh", { input: script, encoding: "utf8" });

const hostile = fc
    .oneof(
        // Shell words and here-documents are text: everything but NUL, and what UTF-8 can carry.
        fc.string({ unit: "grapheme" }),
        fc.string({
            unit: fc.constantFrom(
                "'",
                '"',
                "\\",
                "\n",
                " ",
                "$",
                "`",
                "#",
                "~",
                "*",
                "!",
                "-",
                ";",
                "&",
                "|",
                "(",
                "é",
                "%",
            ),
        }),
        fc.constantFrom(
            "$(id)",
            "`id`",
            "'; id; '",
            "a'b",
            "# no comment",
            "LINUXNET_END",
            "%s%n",
            "-n",
            "~root",
            "",
            "\n",
            "a\n@@ done\n",
        ),
    )
    .filter((text) => !text.includes("\u0000"));

test("quote: sh gives back every text as it was, as one word", () => {
    fc.assert(
        fc.property(fc.array(hostile, { minLength: 1, maxLength: 30 }), (texts) => {
            const script = texts.map((text) => `printf '%s\\0' ${quote(text)}`).join("\n");
            expect(sh(script)).toBe(texts.map((text) => `${text}\0`).join(""));
        }),
        { numRuns: 40 },
    );
});

test.each([
    ["web", "web"],
    ["net/ipv4/conf/ln1/forwarding", "net/ipv4/conf/ln1/forwarding"],
    ["", "''"],
    ["two words", "'two words'"],
    ["$(id)", "'$(id)'"],
    ["it's", "'it'\\''s'"],
    ["~", "'~'"],
    ["*", "'*'"],
])("quote: writes %j as %s", (text, word) => {
    expect(quote(text)).toBe(word);
});

test("groups: neighbouring lines of one tool in one namespace share a process, commands do not, order is kept", () => {
    const line = fc
        .tuple(
            fc.constantFrom("ip", "bridge", "nft", "sysctl", "command"),
            fc.constantFrom(undefined, "web", "api"),
            fc.nat(),
        )
        .map(
            ([tool, netns, i]): Line => ({
                tool: tool as Line["tool"],
                ...(netns === undefined ? {} : { netns }),
                args: [String(i)],
            }),
        );
    fc.assert(
        fc.property(fc.array(line), (lines) => {
            const groups = groupLines(lines);
            expect(groups.flatMap((group) => group.lines)).toEqual(lines);
            for (const [i, group] of groups.entries()) {
                expect(group.lines.every(({ tool, netns }) => tool === group.tool && netns === group.netns)).toBe(true);
                if (group.tool === "command") expect(group.lines).toHaveLength(1);
                const next = groups[i + 1];
                if (next?.tool === group.tool && group.tool !== "command") expect(next.netns).not.toBe(group.netns);
            }
        }),
    );
});

const render = (lines: Line[], ...more: [boolean?, string[]?]) =>
    groupLines(lines)
        .map((group) => renderGroup(group, "|| fail 0", ...more))
        .join("");

test.each([
    [
        "ip in the host's own namespace",
        [
            ip(undefined, "link", "add", "name", "ln1", "type", "bridge"),
            ip(undefined, "link", "set", "dev", "ln1", "up"),
        ],
        "ip -batch - <<'LINUXNET_END' || fail 0\nlink add name ln1 type bridge\nlink set dev ln1 up\nLINUXNET_END\n",
    ],
    [
        "ip in a sandbox",
        [ip("web", "link", "set", "dev", "lo", "up")],
        "nsenter --net=/run/netns/web ip -batch - <<'LINUXNET_END' || fail 0\nlink set dev lo up\nLINUXNET_END\n",
    ],
    [
        "words with blanks, as batch files quote them",
        [ip(undefined, "link", "set", "dev", "ln1", "alias", "linuxnet network a")],
        "ip -batch - <<'LINUXNET_END' || fail 0\nlink set dev ln1 alias \"linuxnet network a\"\nLINUXNET_END\n",
    ],
    [
        "bridge",
        [bridge("fdb", "replace", "02:6c:0a:00:00:09", "dev", "lt1", "master", "static")],
        "bridge -batch - <<'LINUXNET_END' || fail 0\nfdb replace 02:6c:0a:00:00:09 dev lt1 master static\nLINUXNET_END\n",
    ],
    [
        "nft",
        [nft('add element inet linuxnet networks { "ln1" }'), nft("add rule inet linuxnet c drop")],
        "nft -f - <<'LINUXNET_END' || fail 0\nadd element inet linuxnet networks { \"ln1\" }\nadd rule inet linuxnet c drop\nLINUXNET_END\n",
    ],
    [
        "sysctl of the host",
        [sysctl(undefined, "net/ipv4/conf/ln1/forwarding", "1"), sysctl(undefined, "net/core/x", "1 2")],
        "{ printf '%s\\n' 1 >/proc/sys/net/ipv4/conf/ln1/forwarding && printf '%s\\n' '1 2' >/proc/sys/net/core/x; } || fail 0\n",
    ],
    [
        "sysctl of a sandbox",
        [sysctl("web", "net/core/somaxconn", "1024")],
        "nsenter --net=/run/netns/web sh <<'LINUXNET_END' || fail 0\nset -e\nprintf '%s\\n' 1024 >/proc/sys/net/core/somaxconn\nLINUXNET_END\n",
    ],
    ["single commands", [command("modprobe", "br_netfilter")], "modprobe br_netfilter </dev/null || fail 0\n"],
    [
        "conntrack, which is not called for what the table does not show",
        [
            { tool: "conntrack", args: ["-s", "172.20.0.2"] },
            { tool: "conntrack", args: ["-p", "udp", "--orig-port-dst", "53"] },
        ],
        "f=$(if [ -e /proc/net/nf_conntrack ]; then grep -oE '=(172\\.20\\.0\\.2|53) ' /proc/net/nf_conntrack; " +
            "else conntrack -L 2>/dev/null | grep -oE '=(172\\.20\\.0\\.2|53) '; fi)\n" +
            'if [ -n "$f" ]; then\n' +
            "case $f in *=172.20.0.2' '*) conntrack -D -s 172.20.0.2 >/dev/null 2>&1 ;; esac\n" +
            "case $f in *=53' '*) conntrack -D -p udp --orig-port-dst 53 >/dev/null 2>&1 ;; esac\n" +
            ":\nfi\n",
    ],
] as [string, Line[], string][])("group: renders %s", (_title, lines, text) => {
    expect(render(lines)).toBe(text);
});

test.each([
    [
        "ip",
        [ip("web", "link", "del", "dev", "x")],
        "nsenter --net=/run/netns/web ip -force -batch - <<'LINUXNET_END' || fail 0\nlink del dev x\nLINUXNET_END\n",
    ],
    [
        "sysctl",
        [sysctl(undefined, "a/b", "1"), sysctl(undefined, "a/c", "1")],
        "{ printf '%s\\n' 1 >/proc/sys/a/b || :; printf '%s\\n' 1 >/proc/sys/a/c || :; } || fail 0\n",
    ],
] as [string, Line[], string][])("group: %s goes on after errors when it is forced", (_title, lines, text) => {
    expect(render(lines, true)).toBe(text);
});

test("group: what is read back comes after the lines, as JSON", () => {
    expect(render([ip(undefined, "link", "set", "dev", "ln1", "up")], false, ["addr show dev ln1"])).toBe(
        "ip -j -d -batch - <<'LINUXNET_END' || fail 0\nlink set dev ln1 up\naddr show dev ln1\nLINUXNET_END\n",
    );
});

test.each([['a"b'], ["a#b"], ["a\\b"], ["a\nlink del dev eth0"], ["a\rb"]])(
    "group: refuses %j in a batch file, which knows no escapes",
    (word) => {
        expect(() => render([ip(undefined, "link", "set", "dev", word)])).toThrow("cannot be written in a batch file");
    },
);

test("group: a batch word that is accepted is one word of one line, without a comment", () => {
    fc.assert(
        fc.property(hostile, (word) => {
            let text: string;
            try {
                text = render([ip(undefined, "alias", word)]);
            } catch {
                return;
            }
            const line = text.split("\n")[1] ?? "";
            expect(text.split("\n")).toHaveLength(4);
            expect(line).toMatch(/^alias ([^\s"#\\]+|"[^"#\\]*")$/u);
        }),
        { numRuns: 500 },
    );
});

test("group: values of sysctls reach the kernel's file as they are", () => {
    fc.assert(
        fc.property(hostile, (value) => {
            const text = render([sysctl(undefined, "x", value)]).replace(">/proc/sys/x", ">&1");
            expect(sh(`fail() { exit 1; }\n${text}`)).toBe(`${value}\n`);
        }),
        { numRuns: 30 },
    );
});
