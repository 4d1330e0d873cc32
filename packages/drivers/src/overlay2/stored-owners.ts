/**
 * Whose owners the files of a layer have, in a home that is opened with id maps.
 *
 * Docker gives the directory of every layer that it makes under maps to the mapped root's group, and layerstore does so too:
 * there the owners are the host's. A layer of another group is from before the home had maps, or was filled without them:
 * its owners are those inside the container. It is not rewritten. Its directory is shown through an id-mapped mount, where the
 * kernel can do that, and what is made over it has owners of the host.
 */
import { lstatSync } from 'node:fs';
import { StoreError, toHost, type IdMaps, type LayerId, type Owner } from '@layerstore/core';
import type { Home } from '../home/home.js';

export class StoredOwners {
  constructor(
    private readonly home: Pick<Home, 'idMaps' | 'passage'>,
    private readonly directoryOf: (id: LayerId) => string,
  ) {}

  /** True where the files have the container's owners although the home has maps. */
  areContainers(id: LayerId): boolean {
    const group = this.home.passage?.gid;
    return group !== undefined && lstatSync(this.directoryOf(id)).gid !== group;
  }

  /** For a plan that shows nothing but layers with the container's owners. */
  get maps(): { readonly idMaps?: IdMaps } {
    return this.home.idMaps === undefined ? {} : { idMaps: this.home.idMaps };
  }

  /**
   * What a plan says about its lowers, uppermost first.
   * @throws StoreError ERR_NOT_SUPPORTED for a layer with owners of the host below one without
   */
  mapsFor(lowers: readonly LayerId[]): { readonly idMaps?: IdMaps; readonly unmappedLowers?: number } {
    const first = lowers.findIndex((id) => this.areContainers(id));
    if (first < 0) return {};
    const stray = lowers.slice(first).find((id) => !this.areContainers(id));
    if (stray === undefined) return { ...this.maps, unmappedLowers: first };
    throw new StoreError('ERR_NOT_SUPPORTED', 'it has owners of the host and lies below a layer without', {
      subject: stray,
      hint: 'export the view with the maps under which its layers were made, and import it again',
    });
  }

  /** How the owner of a layer's root becomes one of the host. */
  toHost(id: LayerId): (owner: Owner) => Owner {
    return this.areContainers(id) ? (owner) => toHost(this.home.idMaps, owner) : (owner) => owner;
  }
}
