import { expect, test } from "vitest";
import { describeFailure, isInTheWay, parseListeners } from "../../../provider/host/failure.js";
import { groupLines } from "../../../provider/host/quote.js";
import { command, ip, type Line, nft, sysctl } from "../../../provider/kernel/line.js";

const fail = (lines: readonly Line[], stderr: string, failed = "0") =>
    describeFailure(
        { stdout: `@@ failed\n${failed}\n`, stderr, exitCode: 77 },
        { script: "", steps: groupLines(lines), isEmpty: false, touched: [] },
    );

// What iproute2 6.1, nft 1.0.6, kmod and dash print.
test.each([
    [
        "the line of a batch that failed",
        [
            ip(undefined, "link", "add", "name", "ln1", "type", "bridge"),
            ip(undefined, "link", "set", "dev", "ln1", "master", "br0"),
        ],
        'Error: argument "br0" is wrong: Device does not exist\n\nCommand failed -:2\n',
        '`ip link set dev ln1 master br0` failed: argument "br0" is wrong: Device does not exist. The host was put back as it was.',
    ],
    [
        "the kernel's own words",
        [ip(undefined, "link", "add", "name", "ln1", "type", "vxlan")],
        "RTNETLINK answers: File exists\nCommand failed -:1\n",
        "`ip link add name ln1 type vxlan` failed: File exists. The host was put back as it was.",
    ],
    [
        "a tool without a batch",
        [command("modprobe", "br_netfilter")],
        "modprobe: FATAL: Module br_netfilter not found in directory /lib/modules/6.1.0\n",
        "`modprobe br_netfilter` failed: modprobe: FATAL: Module br_netfilter not found in directory /lib/modules/6.1.0. The host was put back as it was.",
    ],
    [
        "nft, without its arrows",
        [nft("add rule inet linuxnet c accept")],
        "/dev/stdin:1:1-35: Error: Could not process rule: No such file or directory\nadd rule inet linuxnet c accept\n                       ^\n",
        "`nft add rule inet linuxnet c accept` failed: Could not process rule: No such file or directory. The host was put back as it was.",
    ],
    [
        "a sysctl",
        [sysctl(undefined, "net/ipv4/conf/ln1/forwarding", "1")],
        "sh: 41: cannot create /proc/sys/net/ipv4/conf/ln1/forwarding: Directory nonexistent\n",
        "`sysctl net/ipv4/conf/ln1/forwarding 1` failed: cannot create /proc/sys/net/ipv4/conf/ln1/forwarding: Directory nonexistent. The host was put back as it was.",
    ],
    [
        "silence",
        [command("modprobe", "x")],
        "",
        "`modprobe x` failed: no reason given. The host was put back as it was.",
    ],
])("failure: names %s", (_title, lines, stderr, sentence) => {
    expect(fail(lines, stderr)).toBe(sentence);
});

test("failure: names the manifest when its files cannot be written", () => {
    const stderr = "sh: 1: cannot create /var/lib/linuxnet/new/ln1.json: No space left on device\n";
    expect(fail([], stderr, "manifest")).toBe(
        "`write the manifest` failed: cannot create /var/lib/linuxnet/new/ln1.json: No space left on device. The host was put back as it was. " +
            "Its disk is full.",
    );
});

// Printed by `ss -Hlntup` of iproute2 6.1.
test.each([
    [
        'tcp LISTEN 0      511          0.0.0.0:80         0.0.0.0:*    users:(("nginx",pid=812,fd=6),("nginx",pid=813,fd=6))',
        { protocol: "tcp", address: "0.0.0.0", port: 80, process: "nginx (pid 812)" },
    ],
    [
        'tcp LISTEN 0      128             [::]:22            [::]:*    users:(("sshd",pid=7,fd=4))',
        { protocol: "tcp", address: "::", port: 22, process: "sshd (pid 7)" },
    ],
    [
        "tcp LISTEN 0      4096   127.0.0.53%lo:53         0.0.0.0:*",
        { protocol: "tcp", address: "127.0.0.53", port: 53, process: "a process of the host" },
    ],
    [
        "udp UNCONN 0      0      [fe80::1%eth0]:546          [::]:*",
        { protocol: "udp", address: "fe80::1", port: 546, process: "a process of the host" },
    ],
    [
        "tcp LISTEN 0      128                *:9100             *:*",
        { protocol: "tcp", address: "*", port: 9100, process: "a process of the host" },
    ],
    [
        "tcp LISTEN 0      128 [::ffff:127.0.0.1]:8125 *:*",
        { protocol: "tcp", address: "::ffff:127.0.0.1", port: 8125, process: "a process of the host" },
    ],
])("listeners: reads %s", (line, listener) => {
    expect(parseListeners(`${line}\n`)).toEqual([listener]);
});

test("listeners: reads every line, and none of an empty answer", () => {
    const line = "tcp LISTEN 0 128 0.0.0.0:80 0.0.0.0:*\n";
    expect(parseListeners(line + line)).toHaveLength(2);
    expect(parseListeners("\n")).toEqual([]);
});

test.each([
    ["0.0.0.0", "0.0.0.0", true],
    ["127.0.0.1", "0.0.0.0", true],
    ["192.0.2.10", "0.0.0.0", true],
    ["*", "::1", true],
    ["::", "2001:db8::1", true],
    ["2001:db8::1", "::", true],
    ["2001:db8::1", "2001:db8::1", true],
    ["2001:db8::2", "2001:db8::1", false],
    ["0.0.0.0", "::", false],
    ["*", "192.0.2.10", true],
    ["::", "192.0.2.10", false],
    ["0.0.0.0", "127.0.0.1", true],
    ["192.0.2.10", "192.0.2.10", true],
    ["::ffff:192.0.2.10", "192.0.2.10", true],
    ["127.0.0.1", "192.0.2.10", false],
    ["192.0.2.11", "192.0.2.10", false],
    ["::1", "0.0.0.0", false],
    ["fe80::1", "0.0.0.0", false],
    ["::ffff:127.0.0.1", "0.0.0.0", true],
    ["::1", "127.0.0.1", false],
])("listener on %s: is in the way of a port published on %s: %s", (address, published, isIt) => {
    expect(isInTheWay({ protocol: "tcp", address, port: 80, process: "x" }, published)).toBe(isIt);
});
