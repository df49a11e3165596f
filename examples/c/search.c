/*
 * Indexes a folder of images and finds those most like another one.
 *
 *   cargo build --release -p barbule-capi
 *   cc -Wall -Icrates/capi/include examples/c/search.c -Ltarget/release -lbarbule \
 *      -Wl,-rpath,'$ORIGIN/target/release' -o search
 *   ./search FOLDER IMAGE [INDEX]
 *
 * INDEX (barbule.db if it is not named) is kept: a second run looks at new and changed files
 * only. Ctrl-C stops; what is done by then is kept too.
 */

#include <signal.h>
#include <stdio.h>

#include "barbule.h"

static volatile sig_atomic_t stopped = 0;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static int progress(void *user, size_t done, size_t total)
{
    (void)user;
    if (total > 0)
        fprintf(stderr, "\r%zu of %zu new images ", done, total);
    else
        fprintf(stderr, "\r%zu images found ", done); /* still counting */
    return stopped;
}

static void skipped(void *user, const char *path, const char *reason)
{
    (void)user;
    (void)path; /* the reason names it */
    fprintf(stderr, "\nskipped: %s", reason);
}

/* Says what went wrong, if anything did. */
static int failed(BarbuleStatus status)
{
    if (status == BARBULE_STATUS_OK)
        return 0;
    fprintf(stderr, "error %d: %s\n", (int)status, barbule_last_error());
    return 1;
}

static int run(const char *folder, const char *image, const char *file)
{
    BarbuleModel *model = NULL;
    BarbuleIndex *index = NULL;
    BarbuleHits *hits = NULL;
    BarbuleAdded added = {0};
    BarbuleStatus status;
    size_t i;

    /* The built-in model, on the best real GPU or else the CPU. */
    status = barbule_model_open(NULL, "auto", &model);
    if (status == BARBULE_STATUS_OK) {
        printf("barbule %s on %s\n", barbule_version(), barbule_model_device(model));
        status = barbule_index_open(file, model, &index);
    }
    if (status == BARBULE_STATUS_OK) {
        status = barbule_index_add(index, &folder, 1, progress, skipped, NULL, &added);
        fputc('\n', stderr);
    }
    if (status == BARBULE_STATUS_STOPPED) {
        fputs("stopped; the next run goes on\n", stderr);
        status = BARBULE_STATUS_OK; /* search what is there */
    } else if (status == BARBULE_STATUS_OK) {
        printf("%zu images, %zu of them new\n", added.found, added.added);
    }
    if (status == BARBULE_STATUS_OK)
        status = barbule_search_file(index, image, 5, &hits);
    for (i = 0; i < barbule_hits_len(hits); i++) {
        const BarbuleHit *hit = barbule_hits_get(hits, i);
        printf("%4u bits away: %s%s\n", (unsigned)hit->distance, hit->path,
               hit->same ? " (the same image)" : "");
    }
    i = (size_t)failed(status);
    barbule_hits_free(hits);
    barbule_index_free(index);
    barbule_model_free(model);
    return (int)i;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: search FOLDER IMAGE [INDEX]\n", stderr);
        return 2;
    }
    signal(SIGINT, stop);
    return run(argv[1], argv[2], argc > 3 ? argv[3] : "barbule.db");
}
