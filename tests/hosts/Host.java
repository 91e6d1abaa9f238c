// SPDX-License-Identifier: MIT OR Apache-2.0
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Loses bytes of the library's mappings, and bytes of its own, for which the virtual machine has a handler. */
public final class Host {
    static final int SIZE = 1 << 20;

    static native ByteBuffer begin();

    static native int end();

    static native void lose();

    /** The sum of all bytes; compiled after some rounds, and then faulting in compiled code. */
    static long sum(ByteBuffer bytes) {
        long sum = 0;
        for (int at = 0; at < SIZE; at++) {
            sum += bytes.get(at);
        }
        return sum;
    }

    /** Returns true when a read of lost bytes of Java's own mapping is the InternalError that Java promises. */
    static boolean own() throws Exception {
        Path path = Path.of("own-" + System.nanoTime());
        Files.write(path, new byte[SIZE]);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer bytes = channel.map(FileChannel.MapMode.READ_ONLY, 0, SIZE);
            channel.truncate(0);
            // The machine steps over the read and throws at its next safe point, so one read is enough.
            long sum = bytes.get(SIZE / 2);
            Thread.sleep(1);
            return sum < 0;
        } catch (InternalError expected) {
            return true;
        } finally {
            Files.delete(path);
        }
    }

    static void run() throws Exception {
        for (int round = 0; round < 40; round++) {
            long sum = sum(begin());
            int status = end();
            if (status != -40 || sum != 4096) {
                throw new AssertionError("round " + round + ": status " + status + ", sum " + sum);
            }
            lose();
            if (!own()) {
                throw new AssertionError("round " + round + ": no InternalError");
            }
        }
    }
}
