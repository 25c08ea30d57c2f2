export { callEngine, startEngine, type EngineOptions, type LabEngine } from './engine';
export { pushImage, savedImage, webImage, type Behaviour, type PushTarget, type TestImage } from './images';
export { Machine, type MachineOptions } from './machine';
export { startMachines, takeDownMachines, type LabMachines, type LabNode, type MachinesOptions } from './machines';
export { findNewerGeneration, type Generation } from './newer';
export { makePki, type LabPki, type Pem } from './pki';
export { binary, end, freePort, until, type ProcessId } from './process';
export { startRegistry, type LabRegistry } from './registry';
export { startSshd, type LabSshd } from './sshd';
