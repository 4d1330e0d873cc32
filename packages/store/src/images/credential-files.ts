import { loadRegistry, type CredentialFilesOptions, type CredentialSource } from '@layerstore/oci';

/**
 * Credentials from the files that docker, podman and skopeo log in to, and from the helpers that they name: for `registry.credentials` of
 * `pull` and `push`. The files are read when a registry asks for credentials.
 */
export function credentialFiles(options: CredentialFilesOptions): CredentialSource {
  return {
    find: async (domain, path) => (await loadRegistry()).credentialFiles(options).find(domain, path),
  };
}
