/* ACLs: what is taken is valid, comes back the same, and never gives more than it or the mode says. */
#include <stdlib.h>
#include <string.h>

#include "conf/base.h"
#include "fs/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void fuzz_again(const struct acl *acl, size_t len)
{
	AUTO_FREE struct acl *again = NULL;
	AUTO_FREE uint8_t *buf = malloc(acl_len(acl));

	if (!buf)
		return;
	must(acl_len(acl) == len);
	acl_format(acl, buf);
	must(acl_parse(buf, len, &again) == 0 && again && again->nr == acl->nr);
	must(memcmp(again->e, acl->e, acl->nr * sizeof(acl->e[0])) == 0);
}

static void fuzz_modes(struct acl *acl, uint32_t asked)
{
	uint32_t full = asked, left = asked, access = asked;
	bool minimal = acl_equiv_mode(acl, &full);

	must((full & ~0777u) == (asked & ~0777u));
	must(acl_create(acl, &left) == minimal);
	must(left == (asked & (full | ~0777u)));
	/* The list that was made says what the mode says. */
	must(acl_equiv_mode(acl, &access) == minimal && access == left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO_FREE struct acl *acl = NULL;

	if (acl_parse(data, len, &acl) || !acl)
		return 0;
	fuzz_again(acl, len);
	fuzz_modes(acl, 0100000u | (data[len - 1] << 4 | data[6]));
	return 0;
}
