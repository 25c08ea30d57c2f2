const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const referenceForm = new RegExp(`^(${component}(?:/${component})+)(?::([\\w][\\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`);

/** `<registry host>/<namespace>/<name>[:tag][@digest]`; null for every other reference. Engines go by the digest where both are given. */
export function parseReference(reference: string, registryHost: string): { path: string; tag: string; digest: string | null } | null {
  if (!reference.startsWith(`${registryHost}/`)) return null;
  const match = referenceForm.exec(reference.slice(registryHost.length + 1));
  return match && { path: match[1]!, tag: match[2] ?? 'latest', digest: match[3] ?? null };
}
