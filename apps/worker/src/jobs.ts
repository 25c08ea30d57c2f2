import type { INestApplicationContext } from '@nestjs/common';
import { DirectorySync, Sessions, syncDirectory } from '@gantry/access';
import { Audit, AuditRetention, SyslogForwarder } from '@gantry/audit';
import { EngineGateway, Relay, relayCall, Watcher } from '@gantry/clusters';
import { Deployments, DeliveryEvents, runDeployment } from '@gantry/delivery';
import { handle, Leases, on, type Handling, type Sweep } from '@gantry/platform';
import { Verdicts } from '@gantry/trust';
import { imagePushed, RegistryFront, signaturePushed } from '@gantry/registry';

/** Every job and event, and the one library method that handles it. */
export function handlings(app: INestApplicationContext): Handling[] {
  const deployments = app.get(Deployments);
  const relay = app.get(Relay);
  const verdicts = app.get(Verdicts);
  const delivery = app.get(DeliveryEvents);
  const directorySync = app.get(DirectorySync);
  return [
    handle(syncDirectory, (ctx, payload) => directorySync.run(ctx, payload)),
    handle(relayCall, (ctx, payload) => relay.answer(ctx, payload)),
    handle(runDeployment, (ctx, payload) => deployments.run(ctx, payload)),
    on(imagePushed, 'auto-redeploy', (ctx, payload) => delivery.onImagePushed(ctx, payload)),
    on(signaturePushed, 'first-seen', (ctx, payload) => verdicts.noteSignatures(ctx, payload)),
    on(signaturePushed, 'auto-redeploy', (ctx, payload) => delivery.onSignaturePushed(ctx, payload)),
  ];
}

/** What catches up with lost wake-ups and crashed processes. */
export function sweeps(app: INestApplicationContext): Sweep[] {
  const audit = app.get(Audit);
  const retention = app.get(AuditRetention);
  const forwarder = app.get(SyslogForwarder);
  const sessions = app.get(Sessions);
  const deployments = app.get(Deployments);
  const front = app.get(RegistryFront);
  const relay = app.get(Relay);
  const directorySync = app.get(DirectorySync);
  const gateway = app.get(EngineGateway);
  const watcher = app.get(Watcher);
  const leases = app.get(Leases);
  return [
    // NOTIFY wakes the sequencer at once; this catches what it missed.
    { name: 'audit.seal', everySeconds: 1, run: (ctx) => audit.sealPending(ctx) },
    // Runs as long as this process holds the lease; the others look every few seconds whether it is free.
    { name: 'audit.forward', everySeconds: 5, run: (ctx) => forwarder.run(ctx) },
    { name: 'audit.retain', everySeconds: 600, run: (ctx) => retention.run(ctx) },
    { name: 'access.expire-sessions', everySeconds: 3600, run: (ctx) => sessions.expire(ctx) },
    { name: 'access.directory-sync', everySeconds: 30, run: (ctx) => directorySync.tick(ctx) },
    { name: 'delivery.sweep', everySeconds: 5, run: (ctx) => deployments.sweep(ctx) },
    { name: 'clusters.relay-expire', everySeconds: 30, run: (ctx) => relay.expire(ctx) },
    { name: 'clusters.gateway', everySeconds: 30, run: (ctx) => leases.withLease(ctx, 'clusters.gateway', 30, () => gateway.sweep(ctx)) },
    // As audit.forward: one process at a time, as long as it holds the lease.
    { name: 'clusters.watch', everySeconds: 3, run: (ctx) => watcher.run(ctx) },
    { name: 'registry.reconcile-pushes', everySeconds: 30, run: (ctx) => front.reconcilePushes(ctx) },
  ];
}

