/** The store alone: the index of its package would bring the drivers too, which `layerstore images` does not need. */
export { LayerStore, version } from '@layerstore/store';
