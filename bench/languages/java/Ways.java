// SPDX-License-Identifier: MIT OR Apache-2.0

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** The ways of Java to read a file, for other_languages.py, which says what the requests and the answers are. */
public final class Ways {
    private static final int PAGE = 4096;
    private static final String MAP = "FileChannel.map";
    private static final String READ = "Files.readAllBytes";
    private static long sum;
    private static Object unsafe;
    private static Method invokeCleaner;

    /** A mapping lives until the collector finds it, unless this call ends it, as Lucene and Netty do. */
    private static void unmap(ByteBuffer buffer) throws ReflectiveOperationException {
        if (unsafe == null) {
            Class<?> type = Class.forName("sun.misc.Unsafe");
            Field field = type.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            unsafe = field.get(null);
            invokeCleaner = type.getMethod("invokeCleaner", ByteBuffer.class);
        }
        invokeCleaner.invoke(unsafe, buffer);
    }

    private static ByteBuffer open(String way, String path) throws IOException {
        if (way.equals(READ)) {
            return ByteBuffer.wrap(Files.readAllBytes(Path.of(path)));
        }
        try (FileChannel channel = FileChannel.open(Path.of(path), StandardOpenOption.READ)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
        }
    }

    private static void close(ByteBuffer buffer) throws ReflectiveOperationException {
        if (buffer.isDirect()) {
            unmap(buffer);
        }
    }

    private static void touchPages(ByteBuffer data) {
        for (int at = 0; at < data.limit(); at += PAGE) {
            sum += data.get(at);
        }
    }

    private static void touchAll(ByteBuffer data) {
        for (int at = 0; at + 8 <= data.limit(); at += 8) {
            sum += data.getLong(at);
        }
    }

    private static void run(String task, String way, int times, String path) throws Exception {
        ByteBuffer standing = open(way, path).order(ByteOrder.nativeOrder());
        for (int i = 0; i < times; i++) {
            if (task.equals("scan")) {
                touchAll(standing);
            } else {
                ByteBuffer data = open(way, path);
                touchPages(data);
                close(data);
            }
        }
        close(standing);
    }

    /** Reads until standard input ends. Exits with 0 when the bytes are those at the start, with 41 when they are not, and with
     * 40 when Java reports that they cannot be read. */
    private static int survive(String way, String path) throws IOException {
        try {
            ByteBuffer data = open(way, path);
            byte[] before = new byte[data.limit()];
            data.get(0, before);
            System.out.println("ready");
            while (System.in.available() == 0) {
                touchPages(data);
            }
            touchPages(data);
            return ByteBuffer.wrap(before).equals(data) ? 0 : 41;
        } catch (InternalError unreadable) {
            return 40;
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 3 && arguments[0].equals("survive")) {
            System.exit(survive(arguments[1], arguments[2]));
        }
        String version = System.getProperty("java.vm.name") + " " + System.getProperty("java.version");
        System.out.printf("{\"version\": \"%s\", \"ways\": [\"%s\", \"%s\"]}%n", version, MAP, READ);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.split("\t", 4);
            try {
                run(words[1], words[0], Integer.parseInt(words[2]), words[3]);
                System.out.println("done");
            } catch (IOException failure) {
                System.out.println("failed: " + failure);
            }
        }
    }
}
