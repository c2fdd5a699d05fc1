// Run as a program of its own, `node setup/download.mjs <root> <version>`: @pulumi/pulumi takes half a second to load
// and its installer cannot be interrupted from the inside.
import { PulumiCommand } from "@pulumi/pulumi/automation/index.js";
import semver from "semver";

const [root, version] = process.argv.slice(2);
if (!root || !version) throw new Error("usage: node setup/download.mjs <root> <version>");
await PulumiCommand.install({ root, version: new semver.SemVer(version) });
