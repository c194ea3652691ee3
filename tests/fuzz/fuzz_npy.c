/* Heads of .npy files. What is answered must be a width that the codec takes, and a first item
 * behind the head. */
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/npy.h"
#include "conf/base.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct npy npy = {.width = 0};
	struct codec_hint hint = {.skip = 1};
	AUTO_FREE uint8_t *head = malloc(len ? len : 1);
	bool told;

	if (!head)
		return 0;
	if (len)
		memcpy(head, data, len);
	told = npy_parse(head, len, &npy);
	check(codec_learn(&hint, head, len) == told);
	if (!told) {
		check(npy.width == 0 && hint.skip == 1);
		return 0;
	}
	check(npy.width == 1 || npy.width == 2 || npy.width == 4 || npy.width == 8);
	check(npy.data_off >= 10 && npy.data_off <= len);
	check(hint.told && hint.width == npy.width && hint.data_off == npy.data_off);
	return 0;
}
