// SPDX-License-Identifier: MIT OR Apache-2.0

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.LongByReference;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.RandomAccessFile;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import sun.misc.Signal;

/** The cases in Java, over JNA. */
public final class Program {
    /** The part of the library that the cases use. */
    public interface Mmg extends Library {
        int mmg_open(String path, Options options, LongByReference handle, Failure error);

        int mmg_close(long handle, int flags);

        int mmg_pin(long handle, long offset, long length, Span span);

        int mmg_unpin(Span span);

        int mmg_read(long handle, long offset, byte[] buffer, long size, LongByReference got);

        int mmg_find(long handle, long offset, long length, byte[] needle, long size, LongByReference position);

        int mmg_info_get(long handle, Info info);

        int mmg_guard_process(int scope, int flags);

        String mmg_status_name(int status);

        String mmg_term(int vocabulary, int value);
    }

    @FieldOrder({"structSize", "backing", "guarantee", "lock", "lockWaitMs", "access", "rest"})
    public static final class Options extends Structure {
        public int structSize;
        public int backing;
        public int guarantee;
        public int lock;
        public int lockWaitMs;
        public int access;
        public long[] rest = new long[8];

        public Options() {
            structSize = size();
        }
    }

    @FieldOrder({"structSize", "codes", "offset", "operation", "message"})
    public static final class Failure extends Structure {
        public int structSize;
        public int[] codes = new int[3];
        public long offset;
        public byte[] operation = new byte[24];
        public byte[] message = new byte[464];

        public Failure() {
            structSize = size();
        }
    }

    @FieldOrder({"structSize", "backing", "others", "size", "file", "nanoseconds", "faults", "faultOffset", "rest"})
    public static final class Info extends Structure {
        public int structSize;
        public int backing;
        public int[] others = new int[6];
        public long size;
        public long[] file = new long[6];
        public int[] nanoseconds = new int[2];
        public long faults;
        public long faultOffset;
        public long[] rest = new long[10];

        public Info() {
            structSize = size();
        }
    }

    @FieldOrder({"data", "size", "pin"})
    public static final class Span extends Structure {
        public Pointer data;
        public long size;
        public long pin;
    }

    private static final long TO_END = -1; // 2^64 - 1
    private static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));
    private static Mmg mg;

    private static String name(int status) {
        return mg.mmg_status_name(status);
    }

    private static void ready() throws Exception {
        System.out.println("ready");
        INPUT.readLine();
    }

    private static long sum(Span span) {
        long total = 0;
        for (byte b : span.data.getByteArray(0, (int) span.size)) {
            total += b & 0xff;
        }
        return total & 0xffffffffL;
    }

    private static MappedByteBuffer map(String path) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(path, "r")) {
            return file.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length());
        }
    }

    private static long sum(MappedByteBuffer bytes) {
        long total = 0;
        for (int i = 0; i < bytes.limit(); i++) {
            total += bytes.get(i) & 0xff;
        }
        return total & 0xffffffffL;
    }

    /** Returns true when a read of lost bytes is an InternalError of the JVM, which may come a moment later. */
    private static boolean isAnError(MappedByteBuffer bytes) {
        try {
            sum(bytes);
            Thread.sleep(1);
            return false;
        } catch (InternalError | InterruptedException error) {
            return error instanceof InternalError;
        }
    }

    private static String twin(String path, boolean guarded) throws Exception {
        MappedByteBuffer bytes = map(path);
        if (guarded && mg.mmg_guard_process(1, 0) != 0) {
            return "error";
        }
        ready();
        return isAnError(bytes) ? "error InternalError" : "ok";
    }

    /** Checks the JVM's own use of signals after the library handled one of them. */
    private static String signals(String other) throws Exception {
        try {
            Object nothing = System.getenv("MMAPGUARD_IS_NEVER_SET");
            nothing.hashCode(); // compiled code takes a SIGSEGV here
            return "ok without a NullPointerException";
        } catch (NullPointerException expected) {
            // the exception must come
        }
        Files.write(Path.of(other), new byte[100000]);
        MappedByteBuffer bytes = map(other);
        try (FileChannel file = FileChannel.open(Path.of(other), java.nio.file.StandardOpenOption.WRITE)) {
            file.truncate(0);
        }
        if (!isAnError(bytes)) {
            return "ok without an InternalError";
        }
        CountDownLatch heard = new CountDownLatch(1);
        Signal.handle(new Signal("USR2"), signal -> heard.countDown()); // the JVM itself uses USR1
        ready();
        return heard.await(30, TimeUnit.SECONDS) ? "ok handled" : "ok unheard";
    }

    private static String run(String what, String path) throws Exception {
        if (what.equals("twin") || what.equals("guarded")) {
            return twin(path, what.equals("guarded"));
        }
        Options options = new Options();
        options.guarantee = what.equals("stable") ? 2 : 0;
        Failure failure = new Failure();
        Info info = new Info();
        LongByReference handle = new LongByReference();
        LongByReference number = new LongByReference();
        int status = mg.mmg_open(path, options, handle, failure);
        if (status != 0) {
            return "error " + name(status) + " " + Native.toString(failure.message, "UTF-8");
        }
        long file = handle.getValue();
        mg.mmg_info_get(file, info);
        Span span = new Span();
        switch (what) {
            case "open":
                return "ok " + info.size;
            case "info":
                return "ok " + info.size + " " + mg.mmg_term(1, info.backing);
            case "read":
                byte[] buffer = new byte[16];
                mg.mmg_read(file, 5, buffer, 16, number);
                return "ok " + HexFormat.of().formatHex(buffer, 0, (int) number.getValue());
            case "find":
                mg.mmg_find(file, 0, TO_END, "NEEDLE".getBytes(StandardCharsets.US_ASCII), 6, number);
                return "ok " + number.getValue();
            case "close":
                return "ok " + name(mg.mmg_close(file, 0)) + " " + name(mg.mmg_close(file, 0));
            case "use-after-close":
                mg.mmg_close(file, 0);
                return "error " + name(mg.mmg_pin(file, 0, TO_END, span));
            default:
        }
        mg.mmg_pin(file, 0, TO_END, span);
        switch (what) {
            case "pin":
                return "ok " + sum(span);
            case "empty":
                return (span.data != null ? "ok " : "null ") + span.size;
            case "unpin":
                return "ok " + name(mg.mmg_unpin(span)) + " " + name(mg.mmg_unpin(span));
            case "stable":
                long before = sum(span);
                ready();
                return sum(span) == before ? "ok same" : "ok other";
            default:
        }
        ready();
        sum(span);
        status = mg.mmg_unpin(span);
        mg.mmg_info_get(file, info);
        return what.equals("truncated") ? "error " + name(status) + " " + info.faultOffset : signals(path + ".other");
    }

    public static void main(String[] words) throws Exception {
        mg = Native.load(words[0], Mmg.class);
        System.out.println(run(words[1], words[2]));
    }
}
