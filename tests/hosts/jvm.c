/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A C program that starts a Java virtual machine, so that the guard can be installed before the machine: jvm ORDER
 * CLASSPATH. The classes are those of Host.java.
 */
#include <jni.h>
#include <string.h>

#include "lose.h"

static jobject
native_begin(JNIEnv *environment, jclass class)
{
    (void)class;
    /* Java buffers are writable, but no code writes to this one. */
    return (*environment)->NewDirectByteBuffer(environment, (void *)(uintptr_t)lose_begin(), (jlong)LOSE_SIZE);
}

static jint
native_end(JNIEnv *environment, jclass class)
{
    (void)environment;
    (void)class;
    return lose_end();
}

static void
native_lose(JNIEnv *environment, jclass class)
{
    (void)environment;
    (void)class;
    lose_here();
}

int
main(int argc, char **argv)
{
    char path[4096];
    JavaVM *machine;
    JNIEnv *environment;
    if (argc != 3)
        return 2;
    const char *order = argv[1];
    snprintf(path, sizeof path, "-Djava.class.path=%s", argv[2]);
    JavaVMOption options[] = {{path, NULL}, {"-Xmx64m", NULL}};
    JavaVMInitArgs arguments = {.version = JNI_VERSION_10, .nOptions = 2, .options = options};
    if (strcmp(order, "host-first") != 0)
        lose_here();
    if (JNI_CreateJavaVM(&machine, (void **)&environment, &arguments) != JNI_OK)
        return 5;
    if (strcmp(order, "guard-again") == 0 && mmg_guard_install() != MMG_OK)
        return 6;
    lose_here();
    JNINativeMethod natives[] = {{"begin", "()Ljava/nio/ByteBuffer;", (void *)native_begin},
                                 {"end", "()I", (void *)native_end},
                                 {"lose", "()V", (void *)native_lose}};
    jclass class = (*environment)->FindClass(environment, "Host");
    if (class == NULL || (*environment)->RegisterNatives(environment, class, natives, 3) != 0)
        return 7;
    jmethodID run = (*environment)->GetStaticMethodID(environment, class, "run", "()V");
    (*environment)->CallStaticVoidMethod(environment, class, run);
    if ((*environment)->ExceptionCheck(environment)) {
        (*environment)->ExceptionDescribe(environment);
        return 8;
    }
    puts("end");
    fflush(stdout);
    _exit(0); /* the test does not cover the end of the machine */
}
