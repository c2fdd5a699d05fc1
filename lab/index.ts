export type { LabCommand, LabExecError, LabExecOptions, LabExecResult, LabSandbox } from "./exec.js";
export { createHost, createLab, type Lab, type LabHosts, type LabOptions } from "./lab.js";
export type { LabConnection, LabHost, LabMachine, LabRebootOptions } from "./machine.js";
export type { LabProbeOptions, LabProbeResult } from "./probe.js";
export { type HostSnapshot, snapshotHost } from "./snapshot.js";
export type { LabProcess } from "./spawn.js";
export type { LabOutputs, LabProgram, LabStack, LabStackOptions, LabStackRun } from "./stack.js";
