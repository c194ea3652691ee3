/* The head of .safetensors files: the weights of neural networks. Threads: any. */
#ifndef CODEC_SAFETENSORS_H
#define CODEC_SAFETENSORS_H

#include "codec/head_list.h"

/* Add the tensors that the first @len bytes of a file tell. Where the head is longer, the rest of
 * the file is guessed to be like them. */
void safetensors_find(const uint8_t *bytes, size_t len, struct head_list *l);

#endif
