/* Settings as they were written. */
#include "conf/setting.h"

#include <stdio.h>
#include <string.h>

#include "conf/base.h"

size_t setting_span(const char *text, char sep)
{
	size_t len = 0;

	while (text[len] && text[len] != sep)
		len += text[len] == '\\' && text[len + 1] ? 2 : 1;
	return len;
}

char *setting_unescape(const char *value, size_t len)
{
	char *out = malloc(len + 1);
	char *to = out;

	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '\\' && i + 1 < len && strchr(":,\\", value[i + 1]))
			i++;
		*to++ = value[i];
	}
	*to = 0;
	return out;
}

char *setting_escape(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1);
	char *to = out;

	if (!out)
		return NULL;
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	*to = 0;
	return out;
}

static void setting_fini(struct setting *s)
{
	free(s->name);
	free(s->value);
	free(s->from);
	free(s->section);
}

/* @s has copies of the arguments. Returns 0 or -ENOMEM; in any case setting_fini() is due. */
static int setting_init(struct setting *s, const char *name, const char *value, const char *from,
			const char *section)
{
	*s = (struct setting){
		.name = strdup(name),
		.value = value ? strdup(value) : NULL,
		.from = strdup(from),
		.section = section ? strdup(section) : NULL,
	};
	if (!s->name || (value && !s->value) || !s->from || (section && !s->section))
		return -ENOMEM;
	return 0;
}

int setting_add(struct settings *list, const char *name, const char *value, const char *from,
		const char *section)
{
	struct setting *items = reallocarray(list->items, list->nr + 1, sizeof(*items));
	struct setting s;

	if (!items)
		return -ENOMEM;
	list->items = items;
	if (setting_init(&s, name, value, from, section)) {
		setting_fini(&s);
		return -ENOMEM;
	}
	items[list->nr++] = s;
	return 0;
}

/* @item is name=value or name; it is cut in two. */
static int setting_add_item(struct settings *list, char *item, const char *from)
{
	char *equals = strchr(item, '=');

	if (equals)
		*equals++ = 0;
	return setting_add(list, item, equals, from, NULL);
}

int setting_split(struct settings *list, const char *text, const char *from)
{
	while (*text) {
		size_t len = setting_span(text, ',');
		AUTO_FREE char *item = strndup(text, len);
		int err = 0;

		if (!item)
			return -ENOMEM;
		/* mount(8) leaves empty ones behind where it takes its own out. */
		if (len)
			err = setting_add_item(list, item, from);
		if (err)
			return err;
		text += len + (text[len] == ',');
	}
	return 0;
}

void settings_fini(struct settings *list)
{
	for (size_t i = 0; i < list->nr; i++)
		setting_fini(&list->items[i]);
	free(list->items);
	*list = (struct settings){0};
}
