;; SPDX-License-Identifier: MIT OR Apache-2.0
;; The cases in Guile Scheme, over (system foreign).
(use-modules (system foreign) (system foreign-library) (rnrs bytevectors) (ice-9 match) (ice-9 rdelim) (ice-9 format))

(define library (list-ref (command-line) 1))
(define what (list-ref (command-line) 2))
(define path (list-ref (command-line) 3))
(define to-end (- (expt 2 64) 1))

(define (function name result . arguments)
  (foreign-library-function (load-foreign-library library) name #:return-type result #:arg-types arguments))
(define mmg-open (function "mmg_open" int32 '* '* '* '*))
(define mmg-close (function "mmg_close" int32 uint64 uint32))
(define mmg-pin (function "mmg_pin" int32 uint64 uint64 uint64 '*))
(define mmg-unpin (function "mmg_unpin" int32 '*))
(define mmg-read (function "mmg_read" int32 uint64 uint64 '* uint64 '*))
(define mmg-find (function "mmg_find" int32 uint64 uint64 uint64 '* uint64 '*))
(define mmg-info-get (function "mmg_info_get" int32 uint64 '*))
(define mmg-status-name (function "mmg_status_name" '* int32))
(define mmg-term (function "mmg_term" '* uint32 uint32))

(define (name status) (pointer->string (mmg-status-name status)))

;; Makes a structure as a bytevector, with its size in the first member.
(define (sized size)
  (let ((made (make-bytevector size 0)))
    (bytevector-u32-native-set! made 0 size)
    made))
(define (u32 structure offset) (bytevector-u32-native-ref structure offset))
(define (u64 structure offset) (bytevector-u64-native-ref structure offset))
(define at bytevector->pointer)

(define (ready)
  (display "ready\n")
  (force-output)
  (read-line))

(define span (make-bytevector 24 0))
(define number (make-bytevector 8 0))

(define (sum)
  (let* ((size (u64 span 8))
         (bytes (pointer->bytevector (make-pointer (u64 span 0)) size)))
    (let loop ((i 0) (total 0))
      (if (= i size) (modulo total (expt 2 32)) (loop (+ i 1) (+ total (bytevector-u8-ref bytes i)))))))

(define (signals)
  (let ((heard #f))
    (sigaction SIGUSR1 (lambda (number) (set! heard number)))
    (ready)
    (if (eqv? heard SIGUSR1) "ok handled" "ok unheard")))

(define (run)
  (let ((options (sized 88)) (failure (sized 512)) (info (sized 192)))
    (when (string=? what "stable") (bytevector-u32-native-set! options 8 2))
    (let ((status (mmg-open (string->pointer path "UTF-8") (at options) (at number) (at failure))))
      (if (not (zero? status))
          (format #f "error ~a ~a" (name status) (pointer->string (at failure 48)))
          (let ((file (u64 number 0)))
            (define (pin) (mmg-pin file 0 to-end (at span)))
            (mmg-info-get file (at info))
            (match what
              ("open" (format #f "ok ~a" (u64 info 32)))
              ("info" (format #f "ok ~a ~a" (u64 info 32) (pointer->string (mmg-term 1 (u32 info 4)))))
              ("read"
               (let ((buffer (make-bytevector 16 0)))
                 (mmg-read file 5 (at buffer) 16 (at number))
                 (format #f "ok ~{~2,'0x~}" (list-head (bytevector->u8-list buffer) (u64 number 0)))))
              ("find"
               (mmg-find file 0 to-end (string->pointer "NEEDLE") 6 (at number))
               (format #f "ok ~a" (u64 number 0)))
              ("close"
               (let ((first (mmg-close file 0)))
                 (format #f "ok ~a ~a" (name first) (name (mmg-close file 0)))))
              ("use-after-close"
               (mmg-close file 0)
               (format #f "error ~a" (name (pin))))
              ("pin" (pin) (format #f "ok ~a" (sum)))
              ("empty" (pin) (format #f "~a ~a" (if (zero? (u64 span 0)) "null" "ok") (u64 span 8)))
              ("unpin"
               (pin)
               (let ((first (mmg-unpin (at span))))
                 (format #f "ok ~a ~a" (name first) (name (mmg-unpin (at span))))))
              ("stable"
               (pin)
               (let ((before (sum)))
                 (ready)
                 (if (= before (sum)) "ok same" "ok other")))
              (_
               (pin)
               (ready)
               (sum)
               (let ((status (mmg-unpin (at span))))
                 (mmg-info-get file (at info))
                 (if (string=? what "signals")
                     (signals)
                     (format #f "error ~a ~a" (name status) (u64 info 104)))))))))))

(display (run))
(newline)
