# Writes C that holds files as arrays: cmake -DOUT=page_files.c -DFILES=a.css,b.js -P embed.cmake
# plumb_a_css[], plumb_a_css_size and plumb_a_css_sha256 (hexadecimal) for a.css, and so on.
string(REPLACE "," ";" FILES "${FILES}")
set(text "/* Made by tools/embed.cmake. */\n#include <stddef.h>\n#include \"report/page_files.h\"\n")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  string(REPLACE "." "_" name ${name})
  file(READ ${file} bytes HEX)
  file(SHA256 ${file} hash)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "((0x..,){24})" "\\1\n" bytes "${bytes}")
  string(APPEND text "\nconst unsigned char plumb_${name}[] = {\n${bytes}0};\n"
    "const size_t plumb_${name}_size = sizeof plumb_${name} - 1;\nconst char plumb_${name}_sha256[] = \"${hash}\";\n")
endforeach()
file(WRITE ${OUT} "${text}")
