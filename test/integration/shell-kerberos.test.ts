import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { connectionTo, openUsing, refusalOf } from "./host-connection.js";

const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
const kept = { ...process.env };

let host: LabHost;

/** The realm has its own key centre, on the host. */
const clientConfig = (address: string) => `[libdefaults]
default_realm = LAB.TEST
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
[realms]
LAB.TEST = {
    kdc = ${address}:88
}
`;

const serverScript = `mkdir /run/krb
cat >/run/krb/kdc.conf <<END
[realms]
LAB.TEST = {
    database_name = /run/krb/principal
    key_stash_file = /run/krb/stash
}
END
export KRB5_KDC_PROFILE=/run/krb/kdc.conf
cat >/etc/krb5.conf
{
    kdb5_util create -s -r LAB.TEST -P master
    kadmin.local addprinc -pw ticket root
    kadmin.local addprinc -randkey host/$1
    kadmin.local ktadd -k /etc/krb5.keytab host/$1
    krb5kdc
} >/run/krb/log 2>&1 || { cat /run/krb/log >&2; exit 1; }
sed 's/^AuthenticationMethods.*/AuthenticationMethods gssapi-with-mic\\nGSSAPIAuthentication yes\\nGSSAPIStrictAcceptorCheck no/' /etc/ssh/sshd_config >/run/krb/sshd.conf
/usr/sbin/sshd -p 2222 -f /run/krb/sshd.conf`;

beforeAll(async () => {
    host = await createHost();
    const { address } = host;
    await host.exec(["sh", "-ec", serverScript, "sh", address], { stdin: clientConfig(address) });
    const [config, client] = [join(folder, "config"), join(folder, "krb5.conf")];
    writeFileSync(config, "Host *\n    GSSAPIAuthentication yes\n");
    writeFileSync(client, clientConfig(address));
    // ssh looks for ~/.ssh/config in the home of the account, whatever $HOME says: -F stands for it here.
    const { stdout: ssh } = await execa("which", ["ssh"]);
    writeFileSync(join(folder, "ssh"), `#!/bin/sh\nexec ${ssh} -F ${config} "$@"\n`, { mode: 0o755 });
    process.env["PATH"] = `${folder}:${process.env["PATH"]}`;
    process.env["KRB5_CONFIG"] = client;
    process.env["KRB5CCNAME"] = `FILE:${join(folder, "tickets")}`;
});

afterAll(async () => {
    process.env["PATH"] = kept["PATH"];
    for (const name of ["KRB5_CONFIG", "KRB5CCNAME"]) delete process.env[name];
    rmSync(folder, { recursive: true });
    await host[Symbol.asyncDispose]();
});

test("kerberos: over openssh, a ticket is a credential, and without one there is none", async () => {
    const connection = connectionTo(host, { transport: "openssh", port: 2222, privateKey: undefined });
    expect((await refusalOf(connection)).message).toMatch(
        /: no credential was accepted \(tried: the keys that ssh finds\)\./,
    );
    await execa("kinit", ["root"], { input: "ticket\n" });
    await using shell = await openUsing(connection);
    expect((await shell.run("id -u", { timeoutMs: 20_000 })).stdout).toBe("0\n");
    const { stdout } = await execa("klist");
    expect(stdout).toContain(`host/${host.address}`);
});
