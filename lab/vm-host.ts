import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hostNumbers, planMachine } from "./address-plan.js";
import { type ExecTarget, execInside } from "./exec.js";
import { type ArchiveFile, packInitramfs } from "./initramfs.js";
import { generateKeyPair } from "./key-pair.js";
import {
    connectionTo,
    type LabHost,
    type LabRebootOptions,
    type Login,
    type Running,
    randomMachineId,
    type StartedMachine,
} from "./machine.js";
import { identifyProcess, killProcess } from "./process-identity.js";
import { systemPath } from "./requirements.js";
import { spawnInside } from "./spawn.js";
import { openSshEntrance } from "./ssh-entrance.js";
import { waitForSshd } from "./sshd-answer.js";
import type { Underlay } from "./underlay.js";
import type { VmParts } from "./vm-parts.js";
import { firstBootScript, guestInitScript, networkScript, networkUnit, sshdUnit } from "./vm-script.js";

const memoryMegabytes = 512;
const bootTimeoutMs = 300_000;
/** Unless a command says so itself; emulated processors on a busy machine. */
const execTimeoutMs = 180_000;
const consoleTailLength = 4_000;

/** Starts a virtual machine and waits until its sshd answers. */
export async function startVmHost(
    underlay: Underlay,
    index: number,
    login: Login,
    parts: VmParts,
): Promise<StartedMachine<LabHost>> {
    const name = `host-${index + 1}`;
    const number = hostNumbers.firstHost + index;
    const addresses = planMachine(underlay.plan, number);
    const router = planMachine(underlay.plan, hostNumbers.router);
    const machineId = randomMachineId();
    const [hostKey, controlKey] = [generateKeyPair(), generateKeyPair()];
    const folder = parts.makeFolder();
    const environment = {
        LAB_NAME: name,
        LAB_MACHINE_ID: machineId,
        LAB_MTU: String(underlay.mtuBytes),
        LAB_ADDRESS: addresses.address,
        LAB_IPV6_ADDRESS: addresses.ipv6Address,
        LAB_ROUTER: router.address,
        LAB_ROUTER_IPV6: router.ipv6Address,
        LAB_USER: login.user,
        LAB_HOST_KEY: hostKey.private,
        LAB_AUTHORIZED_KEY: login.key.public,
        LAB_CONTROL_KEY: controlKey.public,
    };
    writeFileSync(join(folder, "initramfs"), packInitramfs([...parts.bootFiles, ...ownFiles(environment)]), {
        mode: 0o600,
    });
    await makeDisk(join(folder, "disk"));
    await plugTap(underlay, name);
    parts.onProgress(`${name}: starting (${parts.accelerator})`);
    const startedAt = Date.now();
    let vm = startQemu(underlay, name, number, folder, parts);
    const entrance = openSshEntrance(name, addresses.address, controlKey, hostKey, folder);
    const target: ExecTarget = { name, enter: entrance.enter };
    const exec: LabHost["exec"] = (command, options) =>
        execInside(target, command, { timeoutMs: execTimeoutMs, ...options });
    const readBootId = async () => (await exec("cat /proc/sys/kernel/random/boot_id")).stdout;
    const answers = async () => {
        try {
            await waitForSshd(addresses.address, bootTimeoutMs, () => {
                if (vm.hasEnded()) throw new Error("qemu has ended");
            });
        } catch (error) {
            throw new Error(`${name}: sshd does not answer: ${(error as Error).message}\n${vm.consoleTail()}`);
        }
    };
    const stop = async () => {
        await entrance.close();
        await vm.stop();
    };
    const reboot = async ({ powerCut = false }: LabRebootOptions = {}) => {
        const since = Date.now();
        const before = await readBootId();
        if (powerCut) {
            // Between two instructions, and with it goes all that the guest's kernel has not given to its disk.
            await vm.stop();
            vm = startQemu(underlay, name, number, folder, parts);
            parts.addProcess(vm.init);
        } else {
            // The connection may break before the command has said how it went.
            const restart = "systemctl --no-block reboot";
            await exec(restart, { check: false, timeoutMs: 2_000 }).catch(() => undefined);
        }
        for (;;) {
            await entrance.close();
            await answers();
            const now = await readBootId().catch(() => before);
            if (now !== before) break;
            if (Date.now() - since > bootTimeoutMs) throw new Error(`${name} does not restart\n${vm.consoleTail()}`);
            await sleep(100);
        }
        parts.onProgress(`${name}: restarted after ${((Date.now() - since) / 1000).toFixed(1)} s`);
    };
    try {
        await answers();
    } catch (error) {
        await stop();
        throw error;
    }
    parts.onProgress(`${name}: up after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
    return {
        running: { init: vm.init, stop },
        machine: {
            name,
            ...addresses,
            connection: connectionTo(addresses.address, login, hostKey),
            machineId,
            exec,
            spawn: (command, options) => spawnInside(target, command, options),
            reboot,
            [Symbol.asyncDispose]: stop,
        },
    };
}

function ownFiles(environment: Readonly<Record<string, string>>): ArchiveFile[] {
    const assignments = Object.entries(environment).map(([key, value]) => `${key}='${value}'\n`);
    return [
        { path: "init", content: guestInitScript, mode: 0o755 },
        { path: "lab/environment", content: assignments.join(""), mode: 0o600 },
        { path: "lab/first-boot", content: firstBootScript },
        { path: "lab/network", content: networkScript },
        { path: "lab/lab-network.service", content: networkUnit },
        { path: "lab/lab-sshd.service", content: sshdUnit },
    ];
}

/** A file with holes: it takes the space of what is written only. */
async function makeDisk(file: string): Promise<void> {
    const { execa } = await import("execa");
    const env = { PATH: systemPath };
    writeFileSync(file, "", { mode: 0o600 });
    await execa("truncate", ["--size=4G", file], { env });
    await execa("mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", file], { env });
}

async function plugTap(underlay: Underlay, name: string): Promise<void> {
    const { execa } = await import("execa");
    const script = `ip tuntap add "$1" mode tap && ip link set "$1" mtu "$2" master underlay up`;
    const inside = [`--net=/proc/${underlay.switch.init.pid}/ns/net`, "sh", "-c", script];
    await execa("nsenter", [...inside, "sh", name, String(underlay.mtuBytes)], { env: { PATH: systemPath } });
}

type Vm = Running & { hasEnded(): boolean; consoleTail(): string };

function startQemu(underlay: Underlay, name: string, number: number, folder: string, parts: VmParts): Vm {
    // pdeathsig: the kernel kills qemu when this program dies, however it dies; nsenter and qemu are one process.
    const inside = ["--pdeathsig", "KILL", "nsenter", `--net=/proc/${underlay.switch.init.pid}/ns/net`];
    const args = qemuArguments(name, number, folder, parts);
    const child = spawn("setpriv", [...inside, parts.qemu, ...args], {
        cwd: "/",
        detached: true,
        env: { PATH: systemPath, LANG: "C.UTF-8" },
        stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (chunk: string) => {
            text = (text + chunk).slice(-consoleTailLength);
        });
        (stream as unknown as { unref?(): void }).unref?.();
    }
    const closed = once(child, "close").catch(() => undefined);
    child.unref();
    const init = child.pid === undefined ? undefined : identifyProcess(child.pid);
    if (init === undefined) throw new Error(`${name}: qemu could not be started\n${text}`);
    const hasEnded = () => hasExited(child);
    return {
        init,
        hasEnded,
        consoleTail: () => text.trimEnd(),
        stop: async () => {
            killProcess(init);
            child.ref();
            await closed;
        },
    };
}

function hasExited(child: ChildProcess): boolean {
    return child.exitCode !== null || child.signalCode !== null;
}

function qemuArguments(name: string, number: number, folder: string, parts: VmParts): string[] {
    const isEmulated = parts.accelerator === "tcg";
    const kernelArguments = [
        // On a busy machine an emulated timer may fail the kernel's test of it.
        "no_timer_check",
        "console=ttyS0 quiet net.ifnames=0 panic=-1 mitigations=off",
        "systemd.unit=multi-user.target systemd.show_status=no systemd.firstboot=off",
        ...parts.kernelArguments,
    ];
    const mac = `02:00:00:00:01:${number.toString(16).padStart(2, "0")}`;
    return [
        ...["-name", name, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"],
        ...["-accel", parts.accelerator, "-cpu", isEmulated ? "qemu64" : "host", "-m", String(memoryMegabytes)],
        ...["-kernel", parts.kernel.image, "-initrd", join(folder, "initramfs")],
        ...["-append", kernelArguments.join(" ")],
        ...["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"],
        ...["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"],
        ...["-drive", `file=${join(folder, "disk")},format=raw,if=none,id=disk,cache=writeback`],
        ...["-device", "virtio-blk-pci,drive=disk"],
        ...["-netdev", `tap,id=net,ifname=${name},script=no,downscript=no`],
        ...["-device", `virtio-net-pci,netdev=net,mac=${mac},romfile=`],
    ];
}
