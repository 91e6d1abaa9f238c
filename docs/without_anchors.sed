# SPDX-License-Identifier: MIT OR Apache-2.0
#
# For `sed -E -f`: links to a heading lead to its page instead. GitHub names headings, Doxygen before 1.9.8 does not.
s/\[([^]]*)\]\(#[^)]*\)/\1/g
s/(\]\([^)#]*)#[^)]*\)/\1)/g
