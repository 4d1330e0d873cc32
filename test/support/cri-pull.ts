import grpc from '@grpc/grpc-js';
import { serviceDefinition } from '../../packages/daemon/src/grpc/service-definition.js';
import { ImageService, type PullImageResponse } from './cri/generated/images_pb.js';

/** Pulls an image as Kubernetes does. @param socket of containerd, with its CRI plugin */
export async function pullThroughCri(socket: string, image: string): Promise<PullImageResponse> {
  const Client = grpc.makeGenericClientConstructor(serviceDefinition(ImageService), 'ImageService');
  const client = new Client(`unix:${socket}`, grpc.credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      const call = client['PullImage'] as (
        request: object,
        reply: (error: Error | null, value: PullImageResponse) => void,
      ) => void;
      call.call(client, { image: { image } }, (error, value) => (error === null ? resolve(value) : reject(error)));
    });
  } finally {
    client.close();
  }
}
