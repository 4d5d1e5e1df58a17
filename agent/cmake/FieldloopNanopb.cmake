# fieldloop_add_nanopb_library(<name> PROTOS a/v1/b.proto ...)
# Each proto needs an .options file beside it that bounds every string, bytes and repeated field.
# Debian's nanopb-config.cmake exports targets only, so the generator call lives here.
find_program(NANOPB_GENERATOR nanopb_generator.py nanopb_generator REQUIRED)
# Headers are <a/v1/b.nanopb.h>: one file may include them beside protobuf's <a/v1/b.pb.h>.
function(fieldloop_add_nanopb_library name)
  cmake_parse_arguments(ARG "" "" "PROTOS" ${ARGN})
  set(gen "${CMAKE_BINARY_DIR}/gen_nanopb")
  file(MAKE_DIRECTORY "${gen}")
  set(outputs)
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(options "${PROJECT_SOURCE_DIR}/proto/${stem}.options")
    add_custom_command(
      OUTPUT "${gen}/${stem}.nanopb.c" "${gen}/${stem}.nanopb.h"
      COMMAND ${NANOPB_GENERATOR} --strip-path --extension=.nanopb -I "${PROJECT_SOURCE_DIR}/proto"
              -D "${gen}" "${proto}"
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/proto"
      DEPENDS "${PROJECT_SOURCE_DIR}/proto/${proto}" "${options}"
      VERBATIM)
    list(APPEND outputs "${gen}/${stem}.nanopb.c" "${gen}/${stem}.nanopb.h")
  endforeach()
  add_library(fieldloop_${name} STATIC ${outputs})
  target_link_libraries(fieldloop_${name} PRIVATE fieldloop_options)
  target_include_directories(fieldloop_${name} SYSTEM PUBLIC "${gen}" "${gen}/fieldloop/agent/v1")
endfunction()
