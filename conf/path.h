/* Paths as text: nothing here asks the file system, except where it says so. Threads: any. */
#ifndef CONF_PATH_H
#define CONF_PATH_H

/* "@a/@b", the caller's to free, or NULL without memory. */
char *path_join(const char *a, const char *b);

/* Make @path absolute: "~/" is @home, anything else that does not begin with '/' lies below @cwd.
 * Double slashes, "." and a slash at the end go; ".." stays, since only the file system knows what
 * it means behind a link.
 * @home, @cwd may be NULL, where there is none, or none is to be used.
 * Returns 0, -ENOENT (@path is empty), -EDOM (needs what is NULL) or -ENOMEM. @out is the caller's
 * to free. */
int path_absolute(const char *path, const char *home, const char *cwd, char **out);

/* The same without links, from the file system; a copy of @path where that does not know it. NULL:
 * no memory. */
char *path_resolve(const char *path);

/* One file name for an absolute path, different for each: "/mnt/my-data" is "mnt-my%2Ddata". NULL:
 * no memory. */
char *path_to_name(const char *path);

#endif
