/*
 * Barbule: finds the images that are of the same kind, offline.
 *
 * Made by cbindgen from src/capi, as tests/header/header.rs says. docs/EMBEDDING.md is the
 * guide, examples/c/search.c an example.
 *
 * Strings end with a zero byte. Those that you give are UTF-8, on every system; so are those
 * that you get, and they belong to the library. What a function makes for you is freed by
 * the function that says so, once, when no other thread uses it; freeing NULL does nothing.
 * NULL for something that is needed is BARBULE_STATUS_INVALID_ARGUMENT.
 *
 * Functions that can fail return a status, and then barbule_last_error() says in a sentence
 * what to do. All functions may be called from any thread, at the same time and with the
 * same handles.
 */

#ifndef BARBULE_H
#define BARBULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The result of a call.
 */
typedef enum {
    /**
     * Success.
     */
    BARBULE_STATUS_OK = 0,
    /**
     * An argument is NULL, not UTF-8, or has an unknown value.
     */
    BARBULE_STATUS_INVALID_ARGUMENT = 1,
    /**
     * No device of that name can be used.
     */
    BARBULE_STATUS_DEVICE = 2,
    /**
     * The model cannot be opened or cannot do this.
     */
    BARBULE_STATUS_MODEL = 3,
    /**
     * The index cannot be opened, read or written, or belongs to another model.
     */
    BARBULE_STATUS_INDEX = 4,
    /**
     * The image cannot be read.
     */
    BARBULE_STATUS_IMAGE = 5,
    /**
     * There is no image with this id.
     */
    BARBULE_STATUS_NOT_FOUND = 6,
    /**
     * The progress callback asked to stop. What was finished before is kept.
     */
    BARBULE_STATUS_STOPPED = 7,
    /**
     * A file cannot be written.
     */
    BARBULE_STATUS_WRITE = 8,
    /**
     * Barbule has a bug. The handles of the call can be freed; do nothing else with them.
     */
    BARBULE_STATUS_INTERNAL = 9,
} BarbuleStatus;

/**
 * The hits of a search, nearest first. They do not change, so any thread may read them.
 */
typedef struct BarbuleHits BarbuleHits;

/**
 * An open index. Any thread may use it; while one adds, others can search.
 */
typedef struct BarbuleIndex BarbuleIndex;

/**
 * An open model, and the device that it computes on. It may be used by any number of
 * threads at once.
 */
typedef struct BarbuleModel BarbuleModel;

/**
 * Pictures of one image: first what the model saw of it, then one for each part that the
 * model attends to, in colour where it looks and dark elsewhere. All are of one size. They
 * do not change, so any thread may read them.
 */
typedef struct BarbulePictures BarbulePictures;

/**
 * Told how many of the images to look into are done; a result other than 0 stops the work.
 * While the folders are listed, `total` is 0 and `done` the number of images found so far.
 *
 * It may be called from another thread than the one that adds, but never by two at once. It
 * must return (no exception, no longjmp) and must neither add to the same index nor free it.
 */
typedef int (*BarbuleProgress)(void *user, size_t done, size_t total);

/**
 * Told of a file that could not be used, and why: a sentence that names it. Both strings are
 * UTF-8 and valid until it returns, which it must. Called from the thread that adds.
 */
typedef void (*BarbuleSkipped)(void *user, const char *path, const char *reason);

/**
 * The numbers of images of an update.
 */
typedef struct {
    /**
     * Image files in the folders.
     */
    size_t found;
    /**
     * New in the index.
     */
    size_t added;
    /**
     * Encoded again, because their content changed.
     */
    size_t changed;
    /**
     * Unchanged.
     */
    size_t unchanged;
    /**
     * Of the new ones, those whose content was in the index already.
     */
    size_t copied;
    /**
     * Unusable; `skipped` is called only for those that were usable or new.
     */
    size_t skipped;
    /**
     * Found at another path than before.
     */
    size_t moved;
} BarbuleAdded;

/**
 * One found image. The strings belong to the hits.
 */
typedef struct {
    /**
     * Its id in the index.
     */
    int64_t id;
    /**
     * Bits in which its code differs from that of the query.
     */
    uint32_t distance;
    /**
     * Whether it is the query image itself.
     */
    bool same;
    /**
     * Its path when it was indexed, UTF-8.
     */
    const char *path;
    /**
     * Its label, UTF-8; NULL if it has none.
     */
    const char *label;
} BarbuleHit;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as "0.1.0". Never NULL; not to be freed.
 */
const char *barbule_version(void);

/**
 * What went wrong in the last call of this thread that did not return `BARBULE_STATUS_OK`:
 * one sentence in English, UTF-8, empty if there was none. Never NULL; not to be freed, and
 * valid until another call of this thread fails.
 */
const char *barbule_last_error(void);

/**
 * Opens a model.
 *
 * `path` is a model file, NULL for the built-in one for photos of any kind. `device` is
 * "auto" (or NULL: the best real GPU, else the CPU), "gpu", "vulkan", "metal", "dx12" or
 * "cpu". On success `*model` is to be freed by barbule_model_free(); on failure it is NULL.
 */
BarbuleStatus barbule_model_open(const char *path, const char *device, BarbuleModel **model);

/**
 * Bits per code: the largest distance that two images can have. 0 if `model` is NULL.
 */
uint32_t barbule_model_bits(const BarbuleModel *model);

/**
 * The device that the model computes on, in words. NULL if `model` is NULL; valid until the
 * model is freed.
 */
const char *barbule_model_device(const BarbuleModel *model);

/**
 * Frees a model; indexes that were opened with it stay usable. NULL is ignored.
 */
void barbule_model_free(BarbuleModel *model);

/**
 * Opens the index of a model, and creates it if there is none.
 *
 * An index belongs to the model that it was made with. A file that cannot be written can be
 * searched all the same. On success `*index` is to be freed by barbule_index_free(); on
 * failure it is NULL.
 */
BarbuleStatus barbule_index_open(const char *path, const BarbuleModel *model, BarbuleIndex **index);

/**
 * The number of images to search.
 */
BarbuleStatus barbule_index_len(const BarbuleIndex *index, size_t *length);

/**
 * Brings an index up to date with `count` folders and all that are in them: new and changed
 * images are encoded, which takes long; the others are only listed.
 *
 * With no folders (`count` is 0), all folders that the index was made from are looked at.
 *
 * `progress`, `skipped` and `added` may be NULL. `user` is handed to both callbacks. Images
 * are written in batches: after BARBULE_STATUS_STOPPED or a failure, and even when the
 * process is killed, the batches before are in the index, and adding the same folders again
 * goes on from there. Files that cannot be used are no failure. What was added is seen by
 * searches that begin after this has returned.
 */
BarbuleStatus barbule_index_add(const BarbuleIndex *index,
                                const char *const *folders,
                                size_t count,
                                BarbuleProgress progress,
                                BarbuleSkipped skipped,
                                void *user,
                                BarbuleAdded *added);

/**
 * Lets the next search see what another handle or another program has added since.
 */
BarbuleStatus barbule_index_refresh(const BarbuleIndex *index);

/**
 * The `k` indexed images most like an image file, nearest first; at the same distance, the
 * one that was indexed first. If the image is itself indexed, it comes first, marked.
 *
 * On success `*hits` is to be freed by barbule_hits_free(); on failure it is NULL.
 */
BarbuleStatus barbule_search_file(const BarbuleIndex *index,
                                  const char *image,
                                  size_t k,
                                  BarbuleHits **hits);

/**
 * The same for the bytes of an image file.
 */
BarbuleStatus barbule_search_bytes(const BarbuleIndex *index,
                                   const uint8_t *bytes,
                                   size_t length,
                                   size_t k,
                                   BarbuleHits **hits);

/**
 * The same for an indexed image, by its id: nothing is read but the index.
 */
BarbuleStatus barbule_search_id(const BarbuleIndex *index,
                                int64_t id,
                                size_t k,
                                BarbuleHits **hits);

/**
 * Frees an index; nothing is lost, all is on disk. NULL is ignored.
 */
void barbule_index_free(BarbuleIndex *index);

/**
 * The number of hits: at most `k`. 0 if `hits` is NULL.
 */
size_t barbule_hits_len(const BarbuleHits *hits);

/**
 * One of the found images, counted from 0; NULL if there are not so many. It belongs to the
 * hits and is valid until they are freed.
 */
const BarbuleHit *barbule_hits_get(const BarbuleHits *hits, size_t position);

/**
 * Frees the hits of a search. NULL is ignored.
 */
void barbule_hits_free(BarbuleHits *hits);

/**
 * Shows where a model looks in an image file.
 *
 * Only models that attend to parts (those of ExchNet and DSaH) can; for others, the
 * built-in one among them, the status is `BARBULE_STATUS_MODEL`. On success `*pictures` is
 * to be freed by barbule_pictures_free(); on failure it is NULL.
 */
BarbuleStatus barbule_explain_file(const BarbuleModel *model,
                                   const char *image,
                                   BarbulePictures **pictures);

/**
 * The same for the bytes of an image file.
 */
BarbuleStatus barbule_explain_bytes(const BarbuleModel *model,
                                    const uint8_t *bytes,
                                    size_t length,
                                    BarbulePictures **pictures);

/**
 * The number of pictures: one more than the model has parts. 0 if `pictures` is NULL.
 */
size_t barbule_pictures_len(const BarbulePictures *pictures);

/**
 * One of the pictures, counted from 0: row after row from the top, three bytes (red, green,
 * blue) for each pixel, no padding. `*width` and `*height` are set unless NULL. The pixels
 * belong to the pictures; NULL if there are not so many.
 */
const uint8_t *barbule_pictures_rgb(const BarbulePictures *pictures,
                                    size_t position,
                                    uint32_t *width,
                                    uint32_t *height);

/**
 * Writes the pictures as PNG files into a folder, which is made if it is missing: `seen.png`,
 * `part-1.png` and so on. Files of these names are replaced.
 */
BarbuleStatus barbule_pictures_write(const BarbulePictures *pictures, const char *folder);

/**
 * Frees pictures. NULL is ignored.
 */
void barbule_pictures_free(BarbulePictures *pictures);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BARBULE_H */
