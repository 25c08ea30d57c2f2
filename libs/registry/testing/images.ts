import { digestOf } from '../src/manifest';

/** Media type of the manifests that `makeImage` makes. */
export const imageType = 'application/vnd.oci.image.manifest.v1+json';

/** A small image as blobs and a manifest; different for every label. It can't be run. */
export interface MadeImage {
  blobs: Buffer[];
  manifest: Buffer;
  digest: string;
}

/** An OCI image of one layer; `subject` makes it a referrer of that manifest, with `artifactType`. */
export function makeImage(label: string, subject?: { digest: string; size: number; artifactType: string }): MadeImage {
  const layer = Buffer.from(`layer of ${label}`);
  const config = subject ? Buffer.from('{}') : Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels: { label } }, rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } }));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      ...(subject ? { artifactType: subject.artifactType } : {}),
      config: { mediaType: subject ? 'application/vnd.oci.empty.v1+json' : 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
      ...(subject ? { subject: { mediaType: imageType, digest: subject.digest, size: subject.size }, annotations: { label } } : {}),
    }),
  );
  return { blobs: [config, layer], manifest, digest: digestOf(manifest) };
}
