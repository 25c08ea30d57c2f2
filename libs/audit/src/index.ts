export * from './audit';
export * from './audit.module';
export * from './audit-key';
export * from './chain';
export * from './detail';
export * from './entities';
export * from './problems';
export * from './sequencer';
