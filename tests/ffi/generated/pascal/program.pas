{ SPDX-License-Identifier: MIT OR Apache-2.0 }
{$mode objfpc}{$H+}
program program_;

uses
  SysUtils, BaseUnix, mmapguard;

var
  handled: cint = 0;

procedure OnSignal(number: cint); cdecl;
begin
  handled := number;
end;

function Sum(bytes: PByte; size: QWord): UInt32;
var
  i: QWord;
begin
  Result := 0;
  i := 0;
  while i < size do
  begin
    Result := UInt32(Result + bytes[i]);
    Inc(i);
  end;
end;

procedure Ready;
begin
  WriteLn('ready');
  Flush(Output);
  ReadLn;
end;

procedure Twin(const path: string; guarded: Boolean);
var
  count, losses: QWord;
  total: UInt32;
  fd: cint;
  status: stat;
  bytes: PByte;
begin
  fd := fpOpen(path, O_RDONLY);
  fpFStat(fd, status);
  bytes := fpMMap(nil, status.st_size, PROT_READ, MAP_SHARED, fd, 0);
  { The runtime makes an exception of SIGBUS; a program without it dies of the signal. }
  fpSignal(SIGBUS, SignalHandler(SIG_DFL));
  if guarded and (mmg_guard_process(MMG_SCOPE_FILES, 0) <> MMG_OK) then Halt(2);
  Ready;
  total := Sum(bytes, status.st_size);
  Write('ok ', total);
  if guarded and (mmg_losses_get(0, nil, 0, count, losses) = MMG_OK) then Write(' ', losses);
  WriteLn;
end;

procedure Viewed(const what: string; handle: mmg_handle);
var
  span: mmg_span;
  info: mmg_info;
  before: UInt32;
  status: mmg_status;
begin
  mmg_pin(handle, 0, MMG_TO_END, span);
  case what of
    'pin': WriteLn('ok ', Sum(span.data, span.size));
    'empty': WriteLn('ok ', span.size);
    'unpin':
      begin
        status := mmg_unpin(span);
        WriteLn('ok ', mmg_status_name(status), ' ', mmg_status_name(mmg_unpin(span)));
      end;
    'stable':
      begin
        before := Sum(span.data, span.size);
        Ready;
        if Sum(span.data, span.size) = before then WriteLn('ok same') else WriteLn('ok other');
      end;
  else
    Ready;
    Sum(span.data, span.size);
    status := mmg_unpin(span);
    info := fresh_mmg_info;
    mmg_info_get(handle, info);
    if what = 'signals' then
    begin
      fpSignal(SIGUSR1, SignalHandler(@OnSignal));
      Ready;
      if handled = SIGUSR1 then WriteLn('ok handled') else WriteLn('ok unheard');
    end
    else
      WriteLn('error ', mmg_status_name(status), ' ', info.fault_offset);
  end;
end;

procedure Run(const what, path: string);
var
  options: mmg_options;
  error: mmg_error;
  info: mmg_info;
  handle: mmg_handle;
  span: mmg_span;
  status: mmg_status;
  bytes: array[0..15] of Byte;
  number: QWord;
  i: Integer;
begin
  options := fresh_mmg_options;
  error := fresh_mmg_error;
  info := fresh_mmg_info;
  if what = 'stable' then options.guarantee := MMG_GUARANTEE_STABLE;
  status := mmg_open(PAnsiChar(path), @options, handle, @error);
  if status <> MMG_OK then
  begin
    WriteLn('error ', mmg_status_name(status), ' ', PAnsiChar(@error.message));
    Exit;
  end;
  mmg_info_get(handle, info);
  case what of
    'open': WriteLn('ok ', info.size);
    'info': WriteLn('ok ', info.size, ' ', mmg_term(MMG_TERM_BACKING, info.backing));
    'read':
      begin
        mmg_read(handle, 5, @bytes, SizeOf(bytes), number);
        Write('ok ');
        for i := 0 to 15 do Write(LowerCase(HexStr(bytes[i], 2)));
        WriteLn;
      end;
    'find':
      begin
        mmg_find(handle, 0, MMG_TO_END, PAnsiChar('NEEDLE'), 6, number);
        WriteLn('ok ', number);
      end;
    'close':
      begin
        status := mmg_close(handle, 0);
        WriteLn('ok ', mmg_status_name(status), ' ', mmg_status_name(mmg_close(handle, 0)));
      end;
    'use-after-close':
      begin
        mmg_close(handle, 0);
        WriteLn('error ', mmg_status_name(mmg_pin(handle, 0, MMG_TO_END, span)));
      end;
  else
    Viewed(what, handle);
  end;
end;

begin
  if (ParamStr(1) = 'twin') or (ParamStr(1) = 'guarded') then Twin(ParamStr(2), ParamStr(1) = 'guarded')
  else Run(ParamStr(1), ParamStr(2));
end.
