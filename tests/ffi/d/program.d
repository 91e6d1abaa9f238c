// SPDX-License-Identifier: MIT OR Apache-2.0
/// The cases in D, over extern (C).
import core.stdc.signal : signal;
import core.sys.posix.signal : SIGUSR1;
import std.algorithm : sum;
import std.digest : toHexString, LetterCase;
import std.format : format;
import std.mmfile : MmFile;
import std.stdio : readln, stdout, writeln;
import std.string : fromStringz, toStringz;

extern (C) nothrow @nogc
{
    struct Options
    {
        uint structSize = Options.sizeof, backing, guarantee, lock, lockWaitMs, access;
        ulong[8] rest;
    }

    struct Failure
    {
        uint structSize = Failure.sizeof;
        int[3] codes;
        ulong offset;
        char[24] operation = 0;
        char[464] message = 0;
    }

    struct Info
    {
        uint structSize = Info.sizeof, backing;
        uint[6] others;
        ulong size;
        ulong[6] file;
        uint[2] nanoseconds;
        ulong faults, faultOffset;
        ulong[10] rest;
    }

    struct Span
    {
        const(ubyte)* data;
        ulong size, pin;
    }

    int mmg_open(const(char)* path, const(Options)* options, ulong* handle, Failure* failure);
    int mmg_close(ulong handle, uint flags);
    int mmg_pin(ulong handle, ulong offset, ulong length, Span* span);
    int mmg_unpin(Span* span);
    int mmg_read(ulong handle, ulong offset, void* buffer, ulong size, ulong* got);
    int mmg_find(ulong handle, ulong offset, ulong length, const(void)* needle, ulong size, ulong* position);
    int mmg_info_get(ulong handle, Info* info);
    int mmg_guard_process(uint scope_, uint flags);
    int mmg_losses_get(ulong since, void* losses, ulong capacity, ulong* count, ulong* next);
    const(char)* mmg_status_name(int status);
    const(char)* mmg_term(uint vocabulary, uint value);
}

enum toEnd = ulong.max;
__gshared int heard;

extern (C) void onSignal(int number) nothrow @nogc
{
    heard = number;
}

const(char)[] name(int status)
{
    return mmg_status_name(status).fromStringz;
}

uint total(const Span span)
{
    return span.data[0 .. span.size].sum(0u);
}

void ready()
{
    writeln("ready");
    stdout.flush();
    readln();
}

string run(string what, string path)
{
    if (what == "twin" || what == "guarded")
    {
        ulong count, losses;
        scope file = new MmFile(path);
        if (what == "guarded" && mmg_guard_process(1, 0))
            return "error";
        ready();
        const total = (cast(const ubyte[]) file[]).sum(0u);
        mmg_losses_get(0, null, 0, &count, &losses);
        return what == "guarded" ? format("ok %s %s", total, losses) : format("ok %s", total);
    }
    Options options;
    options.guarantee = what == "stable" ? 2 : 0;
    Failure failure;
    Info info;
    Span span;
    ulong file, number;
    if (int status = mmg_open(path.toStringz, &options, &file, &failure))
        return format("error %s %s", name(status), failure.message.ptr.fromStringz);
    mmg_info_get(file, &info);
    switch (what)
    {
    case "open":
        return format("ok %s", info.size);
    case "info":
        return format("ok %s %s", info.size, mmg_term(1, info.backing).fromStringz);
    case "read":
        ubyte[16] buffer;
        mmg_read(file, 5, buffer.ptr, buffer.length, &number);
        return "ok " ~ buffer[0 .. number].toHexString!(LetterCase.lower);
    case "find":
        mmg_find(file, 0, toEnd, "NEEDLE".ptr, 6, &number);
        return format("ok %s", number);
    case "close":
        const first = mmg_close(file, 0);
        return format("ok %s %s", name(first), name(mmg_close(file, 0)));
    case "use-after-close":
        mmg_close(file, 0);
        return format("error %s", name(mmg_pin(file, 0, toEnd, &span)));
    default:
    }
    mmg_pin(file, 0, toEnd, &span);
    switch (what)
    {
    case "pin":
        return format("ok %s", total(span));
    case "empty":
        return format("%s %s", span.data is null ? "null" : "ok", span.size);
    case "unpin":
        const first = mmg_unpin(&span);
        return format("ok %s %s", name(first), name(mmg_unpin(&span)));
    case "stable":
        const before = total(span);
        ready();
        return total(span) == before ? "ok same" : "ok other";
    default:
    }
    ready();
    total(span);
    const status = mmg_unpin(&span);
    mmg_info_get(file, &info);
    if (what == "truncated")
        return format("error %s %s", name(status), info.faultOffset);
    signal(SIGUSR1, &onSignal);
    ready();
    return heard == SIGUSR1 ? "ok handled" : "ok unheard";
}

void main(string[] words)
{
    writeln(run(words[1], words[2]));
}
