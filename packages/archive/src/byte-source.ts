/**
 * Bytes as a synchronous sequence of chunks: what decompressors, tar readers and diff writers pass to each other inside
 * one worker thread.
 *
 * A chunk is valid only until the next one is asked for: producers reuse their buffers.
 */
export type ByteSource = Iterable<Buffer>;
